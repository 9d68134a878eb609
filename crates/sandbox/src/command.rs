//! bwrap's command line: which namespaces, which mounts, which program. "Protection is entirely determined by the
//! arguments" (bwrap's own words), so this list is the sandbox's policy on files; nothing else may add to it.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use picket_domain::{InputFile, Network, PinnedHost, ToolOutput};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::SandboxError;
use crate::child::{FIRST_INHERITED, INNER_ID, SCRATCH_STAGE};
use crate::filter::Filters;
use crate::init;

/// The longest list of arguments, in bytes; far below the kernel's own bound.
const MAX_ARGUMENT_BYTES: usize = 64 << 10;
/// The most files of ours that a run is shown, and their bytes in all: they lie in memory.
const MAX_INPUT_FILES: usize = 32;
const MAX_INPUT_BYTES: usize = 32 << 20;

/// Which files the program sees.
pub(crate) enum Root<'a> {
    /// The read-only root of a tool.
    Tool(&'a Path),
    /// Nothing but [`init::PATH`].
    Empty,
}

/// What to run.
pub(crate) struct Program<'a> {
    pub(crate) root: Root<'a>,
    pub(crate) path: &'a str,
    pub(crate) arguments: &'a [String],
    pub(crate) hosts: &'a [PinnedHost],
    pub(crate) network: Network,
    pub(crate) input_files: &'a [InputFile],
    pub(crate) output: ToolOutput,
    /// How many bytes of a report's file are wanted.
    pub(crate) output_bytes: u64,
}

impl<'a> Program<'a> {
    /// The self-test, with what it is to try.
    pub(crate) const fn probe(arguments: &'a [String], network: Network) -> Self {
        Self {
            root: Root::Empty,
            path: init::PATH,
            arguments,
            hosts: &[],
            network,
            input_files: &[],
            output: ToolOutput::Stdout,
            output_bytes: 0,
        }
    }
}

/// A complete command line, with the descriptors it names.
pub(crate) struct Command {
    pub(crate) words: Vec<CString>,
    pub(crate) inherited: Vec<OwnedFd>,
    /// Where bwrap says whether the tool started, and how it ended.
    pub(crate) status: OwnedFd,
}

impl Command {
    /// The command line that runs `program` under `bwrap`.
    pub(crate) fn new(bwrap: &Path, filters: &Filters, program: &Program<'_>) -> Result<Self, SandboxError> {
        check(program)?;
        let (status, write_status) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|errno| SandboxError::set_up("make a pipe")(errno.into()))?;
        let mut options = Words::default();
        options.descriptor("--json-status-fd", write_status);
        // bwrap installs them in this order; the newest filter wins among errors, so the one for clone3 comes last.
        for filter in filters.bytes() {
            options.data("--add-seccomp-fd", filter)?;
        }
        if program.network != Network::Raw {
            options.push("--unshare-user");
            options.extend(&["--uid", &INNER_ID.to_string(), "--gid", &INNER_ID.to_string()]);
        }
        options.extend(&NAMESPACES);
        // Every other network is the one that bwrap is started in.
        if program.network == Network::None {
            options.push("--unshare-net");
        }
        options.root(program)?;
        options.names(program)?;
        options.input(program.input_files)?;
        options.extend(&["--remount-ro", "/", "--chdir", "/scratch", "--cap-drop", "ALL"]);
        if program.network == Network::Raw {
            // The second only to give up the right to get further ones; `init/` then drops it.
            options.extend(&["--cap-add", "CAP_NET_RAW", "--cap-add", "CAP_SETPCAP"]);
        }
        options.into_command(bwrap, program, status)
    }
}

/// Everything but the network, which differs, and the whole environment of the tool.
const NAMESPACES: [&str; 18] = [
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-uts",
    "--unshare-cgroup",
    "--hostname",
    "sandbox",
    "--die-with-parent",
    "--new-session",
    "--clearenv",
    "--setenv",
    "PATH",
    "/usr/bin",
    "--setenv",
    "HOME",
    "/scratch",
    "--setenv",
    "LANG",
    "C.UTF-8",
];

/// A name in `/etc/hosts` must not be able to add a line, a column or a comment to it.
fn is_host_name(name: &str) -> bool {
    let allowed = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= 253 && name.bytes().all(allowed)
}

/// The name of a file that the sandbox makes or reads: nothing hidden, nothing that leaves its folder.
fn is_file_name(name: &str) -> bool {
    let allowed = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'-' | b'_');
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(allowed)
}

fn check_files(program: &Program<'_>) -> Result<(), SandboxError> {
    let size: usize = program.input_files.iter().map(|file| file.content.len()).sum();
    if program.input_files.len() > MAX_INPUT_FILES || size > MAX_INPUT_BYTES {
        return Err(SandboxError::Invocation("expected at most 32 input files of 32 MiB in all"));
    }
    if !program.input_files.iter().all(|file| file.path.strip_prefix("/input/").is_some_and(is_file_name)) {
        return Err(SandboxError::Invocation("expected input files directly below /input/"));
    }
    match program.output {
        ToolOutput::File(path)
            if !path.strip_prefix("/scratch/").is_some_and(|rest| rest.split('/').all(is_file_name)) =>
        {
            Err(SandboxError::Invocation("expected the report's file below /scratch/"))
        }
        ToolOutput::File(_) | ToolOutput::Stdout => Ok(()),
    }
}

fn check(program: &Program<'_>) -> Result<(), SandboxError> {
    check_files(program)?;
    let size: usize = program.arguments.iter().map(|argument| argument.len() + 1).sum();
    if !program.path.starts_with('/') {
        return Err(SandboxError::Invocation("expected an absolute path of the program"));
    }
    if size > MAX_ARGUMENT_BYTES {
        return Err(SandboxError::Invocation("expected at most 64 KiB of arguments"));
    }
    if !program.hosts.iter().all(|host| is_host_name(&host.name)) {
        return Err(SandboxError::Invocation("expected host names of letters, digits, dots and hyphens"));
    }
    Ok(())
}

/// `/etc/hosts`: the loopback and the pinned pairs.
fn hosts_file(hosts: &[PinnedHost]) -> String {
    let loopback = [(IpAddr::from([127, 0, 0, 1]), "localhost"), (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), "localhost")];
    let pinned = hosts.iter().map(|host| (host.address, host.name.as_str()));
    loopback.into_iter().chain(pinned).map(|(address, name)| format!("{address} {name}\n")).collect()
}

/// Words of a command line and the descriptors they name.
#[derive(Default)]
struct Words {
    words: Vec<Vec<u8>>,
    inherited: Vec<OwnedFd>,
}

impl Words {
    fn push(&mut self, word: impl AsRef<OsStr>) {
        self.words.push(word.as_ref().as_bytes().to_vec());
    }

    fn extend(&mut self, words: &[&str]) {
        words.iter().for_each(|word| self.push(word));
    }

    fn descriptor(&mut self, option: &str, descriptor: OwnedFd) {
        self.extend(&[option, &number(&self.inherited).to_string()]);
        self.inherited.push(descriptor);
    }

    /// Hands over bytes in a file that exists only as a descriptor.
    fn data(&mut self, option: &str, bytes: &[u8]) -> Result<(), SandboxError> {
        let descriptor = in_memory(bytes).map_err(SandboxError::set_up("hand data to bwrap"))?;
        self.descriptor(option, descriptor);
        Ok(())
    }

    /// A read-only file of these bytes.
    fn file(&mut self, path: &str, mode: &str, bytes: &[u8]) -> Result<(), SandboxError> {
        self.extend(&["--perms", mode]);
        self.data("--ro-bind-data", bytes)?;
        self.push(path);
        Ok(())
    }

    /// The mounts. `/dev` is read-only as well: bwrap makes it a tmpfs without limits that belongs to the tool.
    /// nmap's connect scans work without any `/proc`, and a pod with a masked `/proc` allows no new one; the level
    /// that runs there must leave `--proc` out.
    fn root(&mut self, program: &Program<'_>) -> Result<(), SandboxError> {
        if let Root::Tool(path) = program.root {
            self.push("--ro-bind");
            self.push(path);
            self.push("/");
        }
        let stage = OsStr::from_bytes(SCRATCH_STAGE.to_bytes());
        self.extend(&["--proc", "/proc", "--dev", "/dev"]);
        for place in ["/scratch", "/tmp", "/dev/shm"] {
            self.push("--bind");
            self.push(stage);
            self.push(place);
        }
        // `/dev` is the one folder of every root that is the sandbox's own and in which it may make a file.
        self.file(init::PATH, "0555", init::PROGRAM)?;
        self.extend(&["--remount-ro", "/dev"]);
        Ok(())
    }

    /// Files of ours, in a folder that only exists for them.
    fn input(&mut self, files: &[InputFile]) -> Result<(), SandboxError> {
        if files.is_empty() {
            return Ok(());
        }
        self.extend(&["--perms", "0555", "--tmpfs", "/input"]);
        for file in files {
            self.file(file.path, "0444", &file.content)?;
        }
        self.extend(&["--remount-ro", "/input"]);
        Ok(())
    }

    /// Names resolve by the pinned pairs alone: no resolver to ask, no other source.
    fn names(&mut self, program: &Program<'_>) -> Result<(), SandboxError> {
        if matches!(program.root, Root::Tool(_)) {
            self.file("/etc/hosts", "0444", hosts_file(program.hosts).as_bytes())?;
            self.file("/etc/resolv.conf", "0444", b"")?;
            let sources = b"passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n";
            self.file("/etc/nsswitch.conf", "0444", sources)?;
        }
        Ok(())
    }

    /// The words before the tool's own: the sandbox's program runs it, behind its lock on files.
    fn init(&mut self, program: &Program<'_>) {
        let mode = if program.network == Network::Raw { "raw" } else { "run" };
        let file = match program.output {
            ToolOutput::Stdout => "-",
            ToolOutput::File(path) => path,
        };
        self.extend(&[init::PATH, mode, file, &program.output_bytes.to_string()]);
    }

    /// The options go by a descriptor: the command line of bwrap's own process can be read inside the sandbox, and the
    /// paths of the host are nobody's business there.
    fn into_command(self, bwrap: &Path, program: &Program<'_>, status: OwnedFd) -> Result<Command, SandboxError> {
        let Self { words: options, mut inherited } = self;
        if options.iter().any(|option| option.contains(&0)) {
            return Err(SandboxError::Invocation("expected no NUL in a path"));
        }
        let ended: Vec<u8> = options.into_iter().flat_map(|option| [option, vec![0]].concat()).collect();
        let options = in_memory(&ended).map_err(SandboxError::set_up("hand the options to bwrap"))?;
        let mut line = Words::default();
        line.push(bwrap);
        line.extend(&["--args", &number(&inherited).to_string(), "--"]);
        line.init(program);
        line.push(program.path);
        program.arguments.iter().for_each(|argument| line.push(argument));
        inherited.push(options);
        let word = |word| CString::new(word).map_err(|_| SandboxError::Invocation("expected no NUL in an argument"));
        Ok(Command { words: line.words.into_iter().map(word).collect::<Result<_, _>>()?, inherited, status })
    }
}

/// The number under which bwrap finds the next descriptor: it gets them in their order.
fn number(inherited: &[OwnedFd]) -> usize {
    FIRST_INHERITED.saturating_add(inherited.len())
}

/// A file that exists only as a descriptor, read from its beginning.
pub(crate) fn in_memory(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"picket", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_adds_nothing_to_the_hosts_file() {
        for name in ["", "a b", "a\nb", "a#b", "a\0", "ä.example", &"a".repeat(254)] {
            assert!(!is_host_name(name), "{name:?}");
        }
        assert!(is_host_name("xn--bcher-kva.example.com"));
    }

    #[test]
    fn a_file_of_a_run_never_leaves_its_folder() {
        let program = |path: &'static str, output| {
            let files = [InputFile { path, content: b"x".as_slice().into() }];
            let program = Program { input_files: &files, output, ..Program::probe(&[], Network::None) };
            check_files(&program).is_ok()
        };
        for path in ["/input/", "/input/a/b", "/input/..", "/input/.a", "/etc/passwd", "input/a", "/input/a\nb"] {
            assert!(!program(path, ToolOutput::Stdout), "{path}");
        }
        for path in ["/scratch", "/scratch/", "/scratch/../etc/passwd", "/tmp/a", "/scratch/.a", "/scratch//a"] {
            assert!(!program("/input/a", ToolOutput::File(path)), "{path}");
        }
        assert!(program("/input/words.txt", ToolOutput::File("/scratch/out/report.json")));
    }

    #[test]
    fn the_hosts_file_holds_the_loopback_and_the_pinned_pairs() {
        let pinned = [PinnedHost { name: "app.example.com".into(), address: "2001:db8::1".parse().unwrap() }];
        assert_eq!(hosts_file(&pinned), "127.0.0.1 localhost\n::1 localhost\n2001:db8::1 app.example.com\n");
    }
}
