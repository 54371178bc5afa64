//! `POST FILE/webwxuploadmedia`: one piece of a file.
//!
//! The form is built by [`crate::upload::Plan`]. Source: the protocol sheet, section 2.20.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use serde::Deserialize;

use super::{Endpoint, MEDIA_TIMEOUT, SMALL_BODY};
use crate::{BaseResponse, Call, ProtoError, RetCode, flex, json, upload::Plan};

/// A piece with its bytes in memory; whoever streams uses [`Plan::piece`] and [`parse`] instead.
#[derive(Debug, Clone)]
pub struct UploadPiece<'a> {
    /// The upload that the piece belongs to.
    pub plan: &'a Plan<'a>,
    /// Counts from 0; in order, one at a time.
    pub index: u64,
    /// Exactly the bytes of the piece.
    pub bytes: Bytes,
}

/// The answer to a piece.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Uploaded {
    /// To be checked at every piece.
    #[serde(rename = "BaseResponse")]
    pub base: BaseResponse,
    /// Only the last piece's is not empty.
    #[serde(default, deserialize_with = "flex::string")]
    pub media_id: String,
    /// Pixels of the thumbnail.
    #[serde(default, rename = "CDNThumbImgHeight", deserialize_with = "flex::int")]
    pub thumb_height: i64,
    /// Pixels of the thumbnail.
    #[serde(default, rename = "CDNThumbImgWidth", deserialize_with = "flex::int")]
    pub thumb_width: i64,
    /// Opaque.
    #[serde(default, deserialize_with = "flex::string")]
    pub encry_file_name: String,
}

/// Reads the answer to a piece.
///
/// # Errors
///
/// If it is no JSON with a result, or the last piece was accepted without a `MediaId`.
pub fn parse(plan: &Plan<'_>, index: u64, reply: &Response<Bytes>) -> Result<Uploaded, ProtoError> {
    let uploaded: Uploaded = json::parse(UploadPiece::NAME, reply)?;
    let is_last = index + 1 == plan.pieces();
    if is_last && uploaded.base.ret.is_ok() && uploaded.media_id.is_empty() {
        return Err(ProtoError::answer(UploadPiece::NAME, "a MediaId", reply.body()));
    }
    Ok(uploaded)
}

impl Endpoint for UploadPiece<'_> {
    type Reply = Uploaded;
    const NAME: &'static str = "webwxuploadmedia";
    const TIMEOUT: Duration = MEDIA_TIMEOUT;
    const BODY_LIMIT: usize = SMALL_BODY;

    fn request(&self, call: &Call<'_>) -> Result<Request<Bytes>, ProtoError> {
        let piece = self.plan.piece(call, self.index)?;
        if self.bytes.len() as u64 != piece.bytes {
            let found = format!("{} bytes", self.bytes.len());
            return Err(ProtoError::request(
                Self::NAME,
                format!("{} bytes of the file", piece.bytes),
                &found,
            ));
        }
        let mut body = BytesMut::with_capacity(piece.head.len() + self.bytes.len() + piece.tail.len());
        body.extend_from_slice(&piece.head);
        body.extend_from_slice(&self.bytes);
        body.extend_from_slice(&piece.tail);
        let (parts, ()) = piece.request.into_parts();
        Ok(Request::from_parts(parts, body.freeze()))
    }

    fn parse(&self, reply: &Response<Bytes>) -> Result<Uploaded, ProtoError> {
        parse(self.plan, self.index, reply)
    }

    fn verdict(reply: &Uploaded) -> RetCode {
        reply.base.ret
    }
}
