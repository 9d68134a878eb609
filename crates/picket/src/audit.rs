//! `picket audit`: the audit log checked from outside, by who does not trust the database. Changes nothing.

mod export;
mod head;
mod verify;

use std::{fs, path::Path};

use picket_domain::OrganizationId;
use picket_store::{Db, administration, audit::read};

use self::head::SignedHead;
pub(crate) use self::verify::Fault;
use crate::{AuditCommand, CommandError, commands::configure, roles::Parts};

/// Organizations that are read at once.
const PAGE: i64 = 500;

/// Does what the operator asked.
pub(crate) async fn run(file: Option<&Path>, command: AuditCommand) -> Result<(), CommandError> {
    match command {
        AuditCommand::Head { organization } => {
            let parts = Parts::new(configure(file)?)?;
            println!("{}", serde_json::to_string(&sign(&parts, organization).await?)?);
            Ok(())
        }
        AuditCommand::Heads { folder } => heads(&Parts::new(configure(file)?)?, &folder).await,
        AuditCommand::Export { organization } => export::run(&Parts::new(configure(file)?)?.db, organization).await,
        AuditCommand::Verify(arguments) => verify::run(file, arguments).await.map_err(unless_broken),
    }
}

/// Whatever else went wrong says nothing of the log.
fn unless_broken(error: CommandError) -> CommandError {
    if matches!(error, CommandError::Broken(_)) { error } else { CommandError::Unchecked(Box::new(error)) }
}

/// The head of an organization's log as it is now, signed.
async fn sign(parts: &Parts, organization: OrganizationId) -> Result<SignedHead, CommandError> {
    let head = end(&parts.db, organization).await?;
    Ok(SignedHead::new(organization, head.point, parts.clock.now(), &parts.sealer()?))
}

async fn end(db: &Db, organization: OrganizationId) -> Result<read::AuditHead, CommandError> {
    let found = db.operate("audit_head", async |tx| read::head(tx, organization).await).await?;
    found.ok_or(CommandError::Unknown("an organization"))
}

/// One file per organization, named after it. Each is replaced as a whole: a run that is broken off leaves no half head.
async fn heads(parts: &Parts, folder: &Path) -> Result<(), CommandError> {
    let io = |source| CommandError::Io { what: format!("cannot write into {}", folder.display()), source };
    fs::create_dir_all(folder).map_err(io)?;
    let (mut after, mut count) = (None, 0_u64);
    loop {
        let page = parts
            .db
            .operate("list_organizations", async |tx| administration::organizations(tx, after, PAGE).await)
            .await?;
        for row in &page {
            let text = serde_json::to_string(&sign(parts, row.id).await?)?;
            let draft = folder.join(format!("{}.json.draft", row.id));
            fs::write(&draft, text + "\n").map_err(io)?;
            fs::rename(&draft, folder.join(format!("{}.json", row.id))).map_err(io)?;
            count = count.saturating_add(1);
        }
        match page.last() {
            Some(row) => after = Some(row.id),
            None => break,
        }
    }
    println!("{count} heads written to {}", folder.display());
    Ok(())
}
