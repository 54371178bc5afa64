use proptest::prelude::*;

use super::*;
use crate::endpoint::{Endpoint, UploadPiece, fixture};

struct Owned {
    own: UserName,
    to: UserName,
    ticket: Secret,
}

fn owned() -> Owned {
    Owned { own: "@self".into(), to: "@@room".into(), ticket: "gQfix".into() }
}

fn plan<'a>(owned: &'a Owned, name: &'a str, total_bytes: u64) -> Plan<'a> {
    Plan {
        name,
        mime: "text/plain",
        total_bytes,
        md5: "3f6285001afda20fcf47d95ed4653df9",
        kind: MediaKind::of_name(name),
        own: &owned.own,
        to: &owned.to,
        client_media_id: 1_700_000_062_000,
        file_number: 0,
        last_modified: "Tue Nov 14 2023 22:13:20 GMT+0800 (CST)",
        data_ticket: &owned.ticket,
        checked: None,
        boundary: "----webwxFixtureBoundary",
    }
}

/// The fields of a form as (name, value), by reading it as a server would.
fn fields(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let delimiter = format!("--{boundary}");
    let mut rest = body.strip_prefix(delimiter.as_bytes()).unwrap();
    let mut fields = Vec::new();
    while !rest.starts_with(b"--\r\n") {
        let split = find(rest, b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&rest[..split]).unwrap();
        let name = head.split("name=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let content = &rest[split + 4..];
        let end = find(content, format!("\r\n{delimiter}").as_bytes()).unwrap();
        fields.push((name, content[..end].to_vec()));
        rest = &content[end + 2 + delimiter.len()..];
    }
    fields
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn field<'a>(fields: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| std::str::from_utf8(value).unwrap())
}

#[test]
fn item_65_pieces_are_512_kib_and_say_the_whole_length() {
    let owned = owned();
    let plan = plan(&owned, "a.bin", 2 * PIECE_BYTES + 5);
    assert_eq!(plan.pieces(), 3);
    let mut at = 0;
    for index in 0..3 {
        let piece = plan.piece(&fixture::call(), index).unwrap();
        assert_eq!(piece.offset, at);
        at += piece.bytes;
        let mut body = piece.head.to_vec();
        body.extend_from_slice(&piece.tail);
        let fields = fields(&body, plan.boundary);
        assert_eq!(field(&fields, "chunks"), Some("3"));
        assert_eq!(field(&fields, "chunk"), Some(index.to_string().as_str()));
        let json: serde_json::Value =
            serde_json::from_str(field(&fields, "uploadmediarequest").unwrap()).unwrap();
        assert_eq!(json["StartPos"], 0);
        assert_eq!(
            (json["TotalLen"].as_u64(), json["DataLen"].as_u64()),
            (Some(plan.total_bytes), Some(plan.total_bytes))
        );
        assert_eq!(json["ClientMediaId"], 1_700_000_062_000_i64);
        assert_eq!(json["MediaType"], 4);
    }
    assert_eq!(at, plan.total_bytes);
    assert!(plan.piece(&fixture::call(), 3).is_err());
}

#[test]
fn a_single_piece_has_no_chunk_fields() {
    let owned = owned();
    let plan = plan(&owned, "a.bin", PIECE_BYTES);
    let piece = plan.piece(&fixture::call(), 0).unwrap();
    let head = String::from_utf8(piece.head.to_vec()).unwrap();
    assert!(!head.contains("chunk"), "{head}");
    assert!(head.contains("name=\"pass_ticket\"\r\n\r\nZk3/q0vT9+fixture"), "decoded: {head}");
}

#[test]
fn item_63_a_gif_is_a_document_that_is_sent_as_a_sticker() {
    for (name, kind, media_type) in [
        ("a.GIF", MediaKind::Emoticon, "doc"),
        ("a.jpeg", MediaKind::Picture, "pic"),
        ("a.b.PNG", MediaKind::Picture, "pic"),
        ("a.mp4", MediaKind::Video, "video"),
        ("a.mov", MediaKind::Document, "doc"),
        ("gif", MediaKind::Document, "doc"),
    ] {
        assert_eq!(MediaKind::of_name(name), kind, "{name}");
        assert_eq!(kind.media_type(), media_type);
    }
}

#[test]
fn item_64_file_names_are_cut_and_quoted() {
    let owned = owned();
    let piece = plan(&owned, "C:\\x\\报告 \"1\".txt", 1).piece(&fixture::call(), 0).unwrap();
    let head = String::from_utf8(piece.head.to_vec()).unwrap();
    assert!(head.contains("filename=\"%E6%8A%A5%E5%91%8A%20%221%22.txt\"\r\n"), "{head}");
    assert!(!head.contains("filename*="));
    assert_eq!((base_name("a/"), base_name(""), extension("x.tar.GZ").as_str()), ("file", "file", "gz"));
}

#[test]
fn item_66_a_large_file_is_not_uploaded_unchecked() {
    let owned = owned();
    let big = plan(&owned, "big.zip", CHECK_ABOVE_BYTES + 1);
    assert!(big.piece(&fixture::call(), 0).is_err());
    let (key, signature): (Secret, Secret) = ("key".into(), "sig".into());
    let checked = Plan { checked: Some((&key, &signature)), ..big };
    let head = checked.piece(&fixture::call(), 0).unwrap().head;
    let head = String::from_utf8(head.to_vec()).unwrap();
    assert!(head.contains(r#""AESKey":"key","Signature":"sig""#), "{head}");
}

#[test]
fn item_68_a_missing_data_ticket_is_a_clear_error() {
    let owned = Owned { ticket: Secret::default(), ..owned() };
    let error = plan(&owned, "a.txt", 1).piece(&fixture::call(), 0).unwrap_err();
    assert!(error.to_string().contains("webwx_data_ticket"), "{error}");
}

#[test]
fn item_67_a_piece_needs_only_its_own_bytes() {
    let owned = owned();
    let plan = plan(&owned, "a.bin", PIECE_BYTES + 3);
    let piece = plan.piece(&fixture::call(), 1).unwrap();
    assert_eq!((piece.offset, piece.bytes), (PIECE_BYTES, 3));
    assert!(piece.head.len() + piece.tail.len() < 4096);
    let whole = UploadPiece { plan: &plan, index: 1, bytes: Bytes::from_static(b"abc") };
    let request = whole.request(&fixture::call()).unwrap();
    assert_eq!(request.headers()["content-length"], request.body().len().to_string().as_str());
    assert!(UploadPiece { plan: &plan, index: 1, bytes: Bytes::new() }.request(&fixture::call()).is_err());
}

#[test]
fn an_empty_file_is_refused() {
    let owned = owned();
    assert!(plan(&owned, "a.txt", 0).piece(&fixture::call(), 0).is_err());
}

#[test]
fn the_last_piece_must_bring_a_media_id() {
    let owned = owned();
    let plan = plan(&owned, "a.bin", PIECE_BYTES + 3);
    let answer = fixture::answer(r#"{"BaseResponse":{"Ret":0},"MediaId":""}"#);
    assert!(crate::endpoint::upload_media::parse(&plan, 0, &answer).is_ok());
    assert!(crate::endpoint::upload_media::parse(&plan, 1, &answer).is_err());
}

proptest! {
    #[test]
    fn a_form_reads_back(bytes in proptest::collection::vec(any::<u8>(), 1..400), name in ".{0,40}", mime in "[a-z\r\n]{0,9}") {
        let owned = owned();
        let plan = Plan { mime: &mime, ..plan(&owned, &name, bytes.len() as u64) };
        prop_assume!(find(&bytes, plan.boundary.as_bytes()).is_none());
        let piece = UploadPiece { plan: &plan, index: 0, bytes: Bytes::from(bytes.clone()) };
        let request = piece.request(&fixture::call()).unwrap();
        let fields = fields(request.body(), plan.boundary);
        let size = bytes.len().to_string();
        prop_assert_eq!(field(&fields, "size"), Some(size.as_str()));
        prop_assert_eq!(&fields.last().unwrap().1, &bytes);
        prop_assert_eq!(crate::percent::decode(field(&fields, "name").unwrap()), base_name(&name));
        prop_assert_eq!(fields.len(), 10);
    }
}
