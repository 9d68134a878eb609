//! What happens when Redis goes and comes back: a stand-in that answers everything with a word.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use picket_live::{Live, LiveError, LiveSettings};

/// Answers on every connection until they are cut.
struct StandIn {
    port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl StandIn {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::<Mutex<Vec<TcpStream>>>::default();
        let kept = Arc::clone(&open);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                kept.lock().unwrap().push(stream.try_clone().unwrap());
                thread::spawn(move || answer(stream));
            }
        });
        Self { port, open }
    }

    fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).unwrap();
        }
    }
}

/// One word for each command: an array, which begins with the number of its parts.
fn answer(stream: TcpStream) {
    let mut writer = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.starts_with('*') && writer.write_all(b"+OK\r\n").is_err() {
            return;
        }
    }
}

/// One thread of a gateway: it has a runtime, and so a connection, of its own.
fn ping(live: &Live, runtime: &tokio::runtime::Runtime) -> Result<(), LiveError> {
    runtime.block_on(live.ping())
}

#[test]
fn when_redis_is_back_one_thread_finds_out_for_all() {
    const THREADS: usize = 4;
    let redis = StandIn::new();
    let url = format!("redis://127.0.0.1:{}/", redis.port);
    let live = Live::new(&LiveSettings { url: url.into(), key_prefix: "x".to_owned(), timeout_ms: 5_000 }).unwrap();
    let (told, asked): (Vec<_>, Vec<_>) = (0..THREADS)
        .map(|_| {
            let (tell, told) = std::sync::mpsc::channel::<std::sync::mpsc::Sender<Result<(), LiveError>>>();
            let live = live.clone();
            let asked = thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                told.into_iter().for_each(|answer| answer.send(ping(&live, &runtime)).unwrap());
            });
            (tell, asked)
        })
        .unzip();
    let ask = |thread: usize| {
        let (answer, answered) = std::sync::mpsc::channel();
        told[thread].send(answer).unwrap();
        answered.recv().unwrap()
    };
    (0..THREADS).for_each(|thread| ask(thread).unwrap());
    redis.cut();
    ask(0).unwrap_err();
    assert!(matches!(ask(1), Err(LiveError::Resting)), "all rest after one failure");
    let end = Instant::now() + Duration::from_secs(30);
    while ask(0).is_err() {
        assert!(Instant::now() < end, "it asks again after its rest");
        thread::yield_now();
    }
    // Their connections are as dead as the first one's was, and nobody asks them.
    (1..THREADS).for_each(|thread| ask(thread).unwrap());
    drop(told);
    asked.into_iter().for_each(|thread| thread.join().unwrap());
}
