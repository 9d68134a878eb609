//! A client's parameters, and the command line of one run.

use picket_domain::{Invocation, Pool, Shard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ParamsError, TaskShape,
    aim::Aim,
    typed::Port,
};

const SSH: Port = Port(22);

/// What a client may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Params {
    /// The port of the server.
    port: Port,
}

impl Default for Params {
    fn default() -> Self {
        Self { port: SSH }
    }
}

impl Params {
    pub(super) fn task(&self) -> TaskShape {
        TaskShape::one_port(self, Pool::Net)
    }

    pub(super) fn invocation(&self, shard: &Shard) -> Result<Invocation, ParamsError> {
        let aim = Aim::of(shard)?;
        let mut args = ["-j", "-n", "-t", "10", "--skip-rate-test"].map(str::to_owned).to_vec();
        args.push(if aim.address().is_ipv6() { "-6" } else { "-4" }.to_owned());
        args.extend(["-p".to_owned(), self.port.to_string(), aim.address().to_string()]);
        Ok(Invocation { args, ..aim.invocation("ssh-audit", "/usr/bin/ssh-audit", self.port) })
    }
}
