//! What the helper refuses, and what it says then.

use std::{
    fs::{File, Permissions},
    io::{Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::{PermissionsExt, chown, symlink},
            net::UnixStream,
        },
    },
    process::Command,
};

use picket_netd::{Grant, NetdClient, NetdError, NetdSettings, ServeError, serve};

use crate::{
    helper::{SOCKET, TARGET, World, grant, settings, start},
    inside::inside,
    probe::{Outcome::Reached, tcp},
    space::Space,
};

fn refusal(world: &World, fd: BorrowedFd<'_>, grant: &Grant) -> String {
    match world.client().open(fd, grant) {
        Err(NetdError::Refused(text) | NetdError::Forbidden(text)) => text,
        other => panic!("expected a refusal: {other:?}"),
    }
}

#[test]
fn a_wrong_descriptor_is_refused() {
    inside("refusals::a_wrong_descriptor_is_refused", || {
        let world = World::new();
        let helper = start(&world, true);
        let good = grant(&[TARGET]);
        for path in ["/etc/passwd", "/dev/null", "/proc/self/ns/mnt", "/"] {
            let file = File::open(path).unwrap();
            assert_eq!(
                refusal(&world, file.as_fd(), &good),
                "expected the descriptor of a network namespace",
                "{path}"
            );
        }
        let own = refusal(&world, world.node.fd(), &good);
        assert_eq!(own, "expected a network namespace of the run's own");
        let connected = refusal(&world, world.internet.fd(), &good);
        assert!(connected.contains("connected already"), "{connected}");
        let (run, _lease) = world.open(&good);
        assert!(refusal(&world, run.fd(), &grant(&[TARGET])).contains("connected already"));
        assert_eq!(world.client().status().unwrap().slots, 1);
        helper.stop();
    });
}

#[test]
fn an_address_outside_of_the_nodes_policy_is_refused() {
    inside("refusals::an_address_outside_of_the_nodes_policy_is_refused", || {
        let world = World::new();
        let helper = start(&world, true);
        let empty = Space::new();
        for address in
            ["10.0.0.5", "169.254.169.254", "::ffff:10.0.0.5", "127.0.0.2", "::1", "224.0.0.1", "198.18.64.2"]
        {
            let text = refusal(&world, empty.fd(), &grant(&[TARGET, address]));
            assert!(text.starts_with(address), "{text}");
        }
        assert_eq!(world.client().status().unwrap().slots, 0);
        helper.stop();
    });
}

#[test]
fn a_line_that_is_no_request_is_refused_and_the_helper_goes_on() {
    inside("refusals::a_line_that_is_no_request_is_refused_and_the_helper_goes_on", || {
        let world = World::new();
        let helper = start(&world, true);
        let open = serde_json::to_string(&grant(&[TARGET])).unwrap();
        let with_more = format!("{{\"open\":{}}}", open.replacen('{', "{\"argv\":[],", 1));
        for line in [
            "{}",
            "nonsense",
            "\"dropped\"",
            "[]",
            "\"open\"",
            &with_more,
            &format!("{{\"open\":{open}}}"),
            &"[".repeat(300_000),
        ] {
            let mut stream = UnixStream::connect(world.socket()).unwrap();
            // The helper may have heard enough before the end of it.
            let _ = stream.write_all(format!("{line}\n").as_bytes());
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            assert!(answer.starts_with("{\"refused\":\"expected") || answer.is_empty(), "{answer}");
        }
        // Half a line, and a client that says nothing: others are served meanwhile.
        let mut half = UnixStream::connect(world.socket()).unwrap();
        half.write_all(b"{\"open\"").unwrap();
        let silent = UnixStream::connect(world.socket()).unwrap();
        assert_eq!(world.client().status().unwrap().slots, 0);
        let mut answer = String::new();
        half.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("refused"), "{answer}");
        drop(silent);
        helper.stop();
    });
}

#[test]
fn a_second_helper_at_the_same_socket_is_refused() {
    inside("refusals::a_second_helper_at_the_same_socket_is_refused", || {
        let world = World::new();
        let helper = start(&world, true);
        let (_stop, told) = UnixStream::pair().unwrap();
        let second = serve(&settings(&world.socket(), true), told.as_fd());
        assert!(matches!(second, Err(ServeError::Running)), "{second:?}");
        let (_run, _lease) = world.open(&grant(&[TARGET]));
        helper.stop();
    });
}

#[test]
fn a_second_helper_of_the_same_name_is_refused_and_takes_nothing_from_the_first() {
    inside("refusals::a_second_helper_of_the_same_name_is_refused_and_takes_nothing_from_the_first", || {
        let world = World::new();
        let helper = start(&world, true);
        let (run, _lease) = world.open(&grant(&[TARGET]));
        let (_stop, told) = UnixStream::pair().unwrap();
        let elsewhere = settings(&world.folder.path().join("other.sock"), true);
        assert!(matches!(serve(&elsewhere, told.as_fd()), Err(ServeError::Running)));
        // Nor does it take an interface that is no helper's.
        world.node.wire("docker0", &world.internet, "docker1");
        let greedy = NetdSettings { name: "docker".to_owned(), ..elsewhere };
        assert!(matches!(serve(&greedy, told.as_fd()), Err(ServeError::Running)));
        world.node.ip("link show dev docker0");
        assert_eq!(tcp(&run, TARGET.parse().unwrap(), 80), Reached);
        helper.stop();
    });
}

#[test]
fn a_folder_that_others_may_write_to_is_refused_and_no_link_in_it_is_followed() {
    inside("refusals::a_folder_that_others_may_write_to_is_refused_and_no_link_in_it_is_followed", || {
        let world = World::new();
        let (_stop, told) = UnixStream::pair().unwrap();
        let serve = || serve(&settings(&world.socket(), true), told.as_fd());
        let folder = world.folder.path();
        for mode in [0o777, 0o1777, 0o770, 0o702] {
            std::fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
            assert!(matches!(serve(), Err(ServeError::Folder)), "{mode:o}");
        }
        assert_eq!(folder.read_dir().unwrap().count(), 0);
        std::fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        if chown(folder, Some(10_001), None).is_ok() {
            assert!(matches!(serve(), Err(ServeError::Folder)));
            chown(folder, Some(0), None).unwrap();
        }
        let victim = folder.join("victim");
        std::fs::write(&victim, "kept").unwrap();
        symlink(&victim, folder.join("netd.sock.lock")).unwrap();
        assert!(matches!(serve(), Err(ServeError::Socket(_))));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
        std::fs::remove_file(folder.join("netd.sock.lock")).unwrap();
        // A socket that is a link is replaced, and what it leads to stays as it was.
        std::fs::set_permissions(&victim, Permissions::from_mode(0o600)).unwrap();
        symlink(&victim, world.socket()).unwrap();
        let helper = start(&world, true);
        assert_eq!(std::fs::symlink_metadata(world.socket()).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(std::fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o600);
        helper.stop();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "kept");
    });
}

#[test]
fn a_user_whom_the_settings_do_not_name_is_refused() {
    inside("refusals::a_user_whom_the_settings_do_not_name_is_refused", || {
        let world = World::new();
        let helper = start(&world, true);
        // The file's mode is the first lock; this is about the second one.
        std::fs::set_permissions(world.folder.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(world.socket(), Permissions::from_mode(0o666)).unwrap();
        for (user, group, expected) in
            [("10001", "10001", "Refused"), ("10002", "10001", "slots: 0"), ("10001", "10003", "slots: 0")]
        {
            let Some(said) = ask_as(&world, user, group) else {
                println!("skipped: this machine has no `setpriv`, or not these users");
                break;
            };
            println!("user {user}, group {group}: {said}");
            assert!(said.contains(expected), "{said}");
        }
        helper.stop();
    });
}

fn ask_as(world: &World, user: &str, group: &str) -> Option<String> {
    let program = world.folder.path().join("asker");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", user, "--regid", group, "--clear-groups"])
        .arg(program)
        .args(["--exact", "refusals::asker", "--include-ignored", "--nocapture"])
        .env(SOCKET, world.socket())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Not a test: asks how the helper stands, as the user that a test starts it as.
#[test]
#[ignore = "a client that another test starts"]
fn asker() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    println!("{:?}", NetdClient::new(socket.into()).status());
}
