//! One run of the program, within bounds.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

/// What the shell does before it becomes the program: memory (1 GiB of addresses), processor time (60 s),
/// file size (128 MiB in blocks of 512 bytes) and no core dump. A film of 1280 pixels was converted within.
/// Source: POSIX.1-2024, `ulimit`; `-v` and `-t` as every shell of Linux has them.
const WITHIN_BOUNDS: &str = "umask 077; ulimit -v 1048576; ulimit -t 60; ulimit -f 262144; ulimit -c 0; \
                             exec nice -n 10 \"$0\" \"$@\"";

/// Runs it in `dir`, which it sees as its working directory. Good when it says that all went well.
///
/// It gets no environment, no input and no network, and reads no protocol but `file`; what it says is
/// thrown away, because it repeats what stands in files. Dropping the future ends it.
pub(crate) async fn run(program: &Path, dir: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(WITHIN_BOUNDS).arg(program).args(arguments).current_dir(dir).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("ffmpeg cannot be started: {error}"))?;
    match child.wait().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("ffmpeg could not do it: {status}")),
        Err(error) => Err(format!("ffmpeg was lost: {error}")),
    }
}
