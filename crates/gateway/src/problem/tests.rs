//! What a failure says, and what it does not.

use super::*;

#[test]
fn what_is_ours_to_repair_says_nothing_of_its_cause() {
    let problem = Problem::internal("password of the database is hunter2");
    assert_eq!(problem.code().status(), 500);
    assert!(!problem.detail().contains("hunter2"));
    let stale = Problem::Store(StoreError::Stale { expected: 1, actual: 0 });
    assert_eq!(stale.code(), ProblemCode::Changed);
}
