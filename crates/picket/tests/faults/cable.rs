//! A cable that can be pulled: a network namespace of the test's own with one link to this machine. What a proxy cannot do,
//! since the kernel at its end goes on to acknowledge: here nobody acknowledges anything.

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::process::eventually;

/// Set where nothing may be skipped: by a stack whose machine lets it make networks.
const MUST: &str = "PICKET_TEST_NETD_MUST";

static CABLES: AtomicU32 = AtomicU32::new(0);

/// A namespace that ends with the test, and the link to it with it.
pub(crate) struct Cable {
    keeper: Child,
    link: String,
    /// This machine's address at the near end.
    pub(crate) address: String,
}

impl Cable {
    /// `None`, with a message, where no network namespace may be made. Where one may, everything else must succeed.
    pub(crate) async fn new() -> Option<Self> {
        if !run("unshare -n true") {
            let must = std::env::var_os(MUST).is_some_and(|word| !word.is_empty());
            assert!(!must, "{MUST} is set, and `unshare -n` is not allowed here");
            println!("skipped: `unshare -n` is not allowed here, and a cable needs a network namespace");
            return None;
        }
        // A link and a network of its own, also beside another cable of this process.
        let number = (std::process::id() + 83 * CABLES.fetch_add(1, Ordering::Relaxed)) % 250;
        let keeper = Command::new("unshare").args(["-n", "sleep", "600"]).stderr(Stdio::null()).spawn().unwrap();
        let cable = Self { keeper, link: format!("flt{number}a"), address: format!("10.213.{number}.1") };
        let id = cable.keeper.id();
        // Once it is called so, it is in its namespace.
        let named =
            async || std::fs::read_to_string(format!("/proc/{id}/comm")).ok().filter(|name| name != "unshare\n");
        eventually("the namespace", Duration::from_secs(10), named).await;
        let (link, far) = (cable.link.as_str(), format!("flt{number}b"));
        let made = run(&format!("ip link add {link} type veth peer name {far} netns {id}"))
            && run(&format!("ip addr add {}/30 dev {link}", cable.address))
            && run(&format!("ip link set {link} up"))
            && run(&format!("nsenter -t {id} -n ip addr add 10.213.{number}.2/30 dev {far}"))
            && run(&format!("nsenter -t {id} -n ip link set {far} up"))
            && run(&format!("nsenter -t {id} -n ip link set lo up"));
        assert!(made, "a link into the namespace");
        Some(cable)
    }

    /// The words before a command that runs at the far end.
    pub(crate) fn far(&self) -> [String; 4] {
        ["nsenter".to_owned(), "-t".to_owned(), self.keeper.id().to_string(), "-n".to_owned()]
    }

    /// Nothing passes, and neither end is told.
    pub(crate) fn pull(&self) {
        assert!(run(&format!("ip link set {} down", self.link)));
    }

    /// Everything passes again.
    pub(crate) fn plug(&self) {
        assert!(run(&format!("ip link set {} up", self.link)));
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // The link goes with the namespace, and that with its last process.
        let _killed = self.keeper.kill();
        let _reaped = self.keeper.wait();
    }
}

pub(crate) fn run(command: &str) -> bool {
    let words: Vec<&str> = command.split(' ').collect();
    Command::new(words[0]).args(&words[1..]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
