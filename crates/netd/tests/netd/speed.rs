//! How long it takes to connect a run. Printed, not judged: the machine is shared.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    helper::{TARGET, World, grant, start},
    inside::inside,
    probe::{Outcome::Reached, tcp},
    space::Space,
};

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    println!(
        "{what}: median {:?}, fastest {:?}, slowest {:?} of {}",
        times[times.len() / 2],
        times[0],
        times[times.len() - 1],
        times.len()
    );
}

#[test]
fn fifty_runs_are_connected_and_so_is_one_with_four_thousand_addresses() {
    inside("speed::fifty_runs_are_connected_and_so_is_one_with_four_thousand_addresses", || {
        let world = World::new();
        let helper = start(&world, true);
        let (mut times, mut held) = (Vec::new(), Vec::new());
        for _ in 0..50 {
            let space = Space::new();
            let begin = Instant::now();
            let lease = world.client().open(space.fd(), &grant(&[TARGET, "127.0.0.1"])).unwrap();
            times.push(begin.elapsed());
            held.push((space, lease));
        }
        print("from request to answer", times);
        assert_eq!(world.client().status().unwrap().slots, 50);
        for (space, _) in &held {
            assert_eq!(tcp(space, TARGET.parse().unwrap(), 80), Reached);
        }
        let mut many = grant(&[TARGET]);
        many.addresses.extend((0..4095_u32).map(|n| IpAddr::from((0x0800_0000 + n).to_be_bytes())));
        let space = Space::new();
        let begin = Instant::now();
        let _lease = world.client().open(space.fd(), &many).unwrap();
        print("with 4096 addresses", vec![begin.elapsed()]);
        assert_eq!(tcp(&space, TARGET.parse().unwrap(), 80), Reached);
        helper.stop();
    });
}
