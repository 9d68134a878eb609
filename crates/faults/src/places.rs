//! Every place and every safeguard that a test may name. One table, so that a test which names none of them fails instead
//! of testing nothing.

/// Where [`crate::point`] is called, as `<crate>::<place>`, in the order in which a scan passes them.
pub const PLACES: &[&str] = &[
    "gateway::before_create",
    "gateway::before_create_commit",
    "gateway::after_create_commit",
    "gateway::before_answer_kept",
    "steward::before_page",
    "steward::after_page",
    "steward::before_admit",
    "steward::after_admit",
    "steward::before_publish",
    "queue::before_confirm",
    "steward::before_mark",
    "steward::after_mark",
    "worker::before_claim",
    "worker::before_ack",
    "worker::after_ack",
    "worker::before_start",
    "worker::after_start",
    "worker::mid_output",
    "worker::after_parse",
    "worker::before_commit",
    "worker::after_commit",
    "steward::before_rescue",
    "steward::after_rescue",
    "dispatcher::before_fan_out",
    "dispatcher::after_fan_out",
    "dispatcher::before_send",
    "dispatcher::before_finish",
    "renderer::before_render",
    "renderer::before_store",
    "renderer::before_commit",
];

/// Where [`crate::point`] is called in loops of the steward that have nothing to do for an ordinary scan: the tick of a
/// schedule, what is removed by its age, what a kill switch covers.
pub const LOOPS: &[&str] = &[
    "steward::before_tick",
    "steward::before_tick_commit",
    "steward::after_tick",
    "steward::before_removal",
    "steward::before_removal_commit",
    "steward::after_removal",
    "steward::before_halt",
    "steward::before_halt_commit",
    "steward::after_halt",
];

/// What [`crate::without`] and [`crate::skew_seconds`] are asked for.
pub const TWINS: &[&str] = &[
    "kit::clock",
    "queue::confirm_wait",
    "steward::rescue_sweep",
    "store::fence",
    "dispatcher::sweep",
    "netd::source_rule",
];
