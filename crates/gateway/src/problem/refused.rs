//! What the planner refuses, as an answer. Codes are the planner's own.

use picket_planner::PlanRefused;

use super::{FieldError, Problem};

impl From<PlanRefused> for Problem {
    fn from(refused: PlanRefused) -> Self {
        let message = refused.to_string();
        match refused {
            PlanRefused::Field { field, code, message } => Self::field(field, code, message),
            PlanRefused::TargetForbidden { .. } => {
                Self::TargetForbidden(FieldError::new("target", "target_forbidden", message))
            }
            PlanRefused::TargetExcluded { .. } => {
                Self::TargetExcluded(FieldError::new("target", "target_excluded", message))
            }
            PlanRefused::TargetNotAuthorized(target) => Self::TargetNotAuthorized(target),
        }
    }
}
