//! The Python that runs public receivers.

/// The python with the libraries; absent only on a machine that is neither `make test` nor CI.
pub(crate) fn python() -> Option<String> {
    let python = picket_testkit::optional("PICKET_RECEIVER_PYTHON");
    if python.is_none() {
        assert_ne!(picket_testkit::optional("CI").as_deref(), Some("true"), "PICKET_RECEIVER_PYTHON is not set");
        println!("skipped: PICKET_RECEIVER_PYTHON is not set");
    }
    python
}
