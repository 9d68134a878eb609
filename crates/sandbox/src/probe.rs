//! The self-test: a program of ours that says, from inside a real sandbox, what it is and what it may do.
//!
//! A tool's root holds the tool alone, so the probe is brought along: a static program of a few hundred bytes whose
//! machine code is in `probe/code.rs` and whose source is beside it. A level is what this finds, never what a setting
//! claims.

mod code;

use std::collections::HashMap;

use crate::{End, SandboxError};

/// Where the program is loaded; any address that is not the first pages will do.
const LOAD_ADDRESS: u64 = 0x0040_0000;
/// Sizes of the ELF header and of one program header.
const HEADERS: (u16, u16) = (64, 56);

/// The probe as an executable file: it prints its `/proc/self/status`, and exits with a bit for each door it finds
/// open (1 `core_pattern`, 2 user namespaces, 4 raw sockets). Depends on nothing but the kernel, so it also serves as
/// the smallest program whose start can be measured.
#[must_use]
pub fn probe_program() -> Vec<u8> {
    let (header, entry) = HEADERS;
    let offset = u64::from(header) + u64::from(entry);
    let size = offset + u64::try_from(code::CODE.len()).unwrap_or(0);
    let machine: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    let mut elf = Vec::with_capacity(512);
    // ELF header: 64 bits, little endian, executable.
    elf.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    elf.extend([2_u16.to_le_bytes(), machine.to_le_bytes()].concat());
    elf.extend(1_u32.to_le_bytes());
    elf.extend([LOAD_ADDRESS + offset, u64::from(header), 0].map(u64::to_le_bytes).concat());
    elf.extend(0_u32.to_le_bytes());
    elf.extend([header, entry, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
    // One segment: the whole file, readable and executable.
    elf.extend([1_u32.to_le_bytes(), 5_u32.to_le_bytes()].concat());
    elf.extend([0, LOAD_ADDRESS, LOAD_ADDRESS, size, size, 0x1000].map(u64::to_le_bytes).concat());
    elf.extend(code::CODE);
    elf
}

/// Judges what the probe said.
pub(crate) fn judge(end: End, status: &str) -> Result<(), SandboxError> {
    let unproven = |what: String| Err(SandboxError::NotProven(what));
    match end {
        End::Exited(0) => {}
        End::Exited(doors @ 1..=7) => return unproven(format!("the probe found doors open: {}", names(doors))),
        End::Exited(_) | End::Signaled(_) | End::TimedOut | End::OutputLimit | End::Killed(_) | End::NotStarted => {
            return unproven(format!("the probe ended with {end:?}"));
        }
    }
    let fields: HashMap<&str, &str> =
        status.lines().filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
    let wanted = [
        ("Uid", "65534\t65534\t65534\t65534"),
        ("Gid", "65534\t65534\t65534\t65534"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ];
    for (name, expected) in wanted {
        match fields.get(name) {
            Some(value) if *value == expected => {}
            value => return unproven(format!("expected {name} {expected}, got {}", value.unwrap_or(&"nothing"))),
        }
    }
    Ok(())
}

fn names(doors: i32) -> String {
    let doors = [(1, "core_pattern"), (2, "user namespaces"), (4, "raw sockets")]
        .into_iter()
        .filter(|(bit, _)| doors & bit != 0);
    doors.map(|(_, name)| name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    const GOOD: &str = "Name:\tprobe\nUid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\n\
        CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
        CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn a_locked_in_probe_is_believed() {
        judge(End::Exited(0), GOOD).unwrap();
    }

    #[test]
    fn every_door_and_every_field_counts() {
        assert_eq!(
            judge(End::Exited(5), GOOD).unwrap_err().to_string(),
            "the sandbox does not hold: the probe found doors open: core_pattern, raw sockets"
        );
        assert!(judge(End::Signaled(31), GOOD).is_err());
        assert!(judge(End::Exited(0), "").is_err());
        for line in GOOD.lines().skip(1) {
            let without = GOOD.replace(line, "");
            assert!(judge(End::Exited(0), &without).is_err(), "without {line}");
        }
        assert!(judge(End::Exited(0), &GOOD.replace("CapBnd:\t0000", "CapBnd:\t0001")).is_err());
        assert!(judge(End::Exited(0), &GOOD.replace("Seccomp:\t2", "Seccomp:\t0")).is_err());
    }

    #[test]
    fn the_code_is_what_its_source_says() {
        let folder = tempfile::tempdir().unwrap();
        let [object, binary] = ["probe.o", "probe.bin"].map(|name| folder.path().join(name));
        let source = format!("{}/src/probe/{}.s", env!("CARGO_MANIFEST_DIR"), std::env::consts::ARCH);
        let run = |program: &str, words: &[&std::ffi::OsStr]| {
            assert!(Command::new(program).args(words).status().unwrap().success())
        };
        run("as", &["-o".as_ref(), object.as_os_str(), source.as_ref()]);
        let section = ["-O", "binary", "-j", ".text"].map(AsRef::<std::ffi::OsStr>::as_ref);
        run("objcopy", &[section.as_slice(), &[object.as_os_str(), binary.as_os_str()]].concat());
        assert_eq!(fs::read(binary).unwrap(), code::CODE);
    }
}
