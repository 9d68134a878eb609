//! Names of stored objects. Every part is an id, a number or a word of ours: to add a kind of object, add a constructor
//! that takes ids only.

use std::fmt;

use object_store::path::Path;
use picket_domain::{ArtifactId, AvatarId, OrganizationId, ReportFormat, ReportId, UserId};

/// What the name of a stored object says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobName {
    /// What one run of a tool printed.
    Artifact(OrganizationId, ArtifactId),
    /// A person's picture.
    Avatar(UserId, AvatarId),
    /// A document of a report, whichever attempt's, or its logo.
    Report(OrganizationId, ReportId),
}

/// The name of one stored object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobKey(String);

impl BlobKey {
    /// What one run of a tool printed, compressed.
    #[must_use]
    pub fn artifact(organization: OrganizationId, artifact: ArtifactId) -> Self {
        Self(format!("artifacts/{organization}/{artifact}.gz"))
    }

    /// A person's picture. Each upload has a name of its own, so that what a client keeps of one is never another.
    #[must_use]
    pub fn avatar(user: UserId, avatar: AvatarId) -> Self {
        Self(format!("avatars/{user}/{avatar}.png"))
    }

    /// The document that one attempt to render a report made. The attempt is part of the name, so that a renderer that
    /// lost its lease cannot overwrite what its successor stored.
    #[must_use]
    pub fn report(organization: OrganizationId, report: ReportId, attempt: i32, format: ReportFormat) -> Self {
        Self(format!("reports/{organization}/{report}.{attempt}.{}", format.extension()))
    }

    /// The logo that a report's branding named, as it was fetched when the report was asked for.
    #[must_use]
    pub fn report_logo(organization: OrganizationId, report: ReportId) -> Self {
        Self(format!("reports/{organization}/{report}.logo"))
    }

    /// The key that the store calls so, and what it says; nothing when it is none of ours.
    pub(crate) fn parse(text: &str) -> Option<(Self, BlobName)> {
        let mut parts = text.split('/');
        let (folder, owner, file) = (parts.next()?, parts.next()?, parts.next()?);
        let (id, extension) = file.split_once('.')?;
        let (key, name) = match folder {
            "artifacts" => {
                let (organization, id) = (owner.parse().ok()?, id.parse().ok()?);
                (Self::artifact(organization, id), BlobName::Artifact(organization, id))
            }
            "avatars" => {
                let (user, id) = (owner.parse().ok()?, id.parse().ok()?);
                (Self::avatar(user, id), BlobName::Avatar(user, id))
            }
            "reports" => {
                let (organization, id) = (owner.parse().ok()?, id.parse().ok()?);
                let key = match extension.split_once('.') {
                    None => Self::report_logo(organization, id),
                    Some((attempt, format)) => {
                        let attempt = attempt.parse().ok()?;
                        let is_it = |known: &ReportFormat| known.extension() == format;
                        Self::report(organization, id, attempt, ReportFormat::ALL.into_iter().find(is_it)?)
                    }
                };
                (key, BlobName::Report(organization, id))
            }
            _ => return None,
        };
        // Whatever else is different, it is not what we write.
        (key.as_str() == text).then_some((key, name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn path(&self) -> Path {
        Path::from(self.0.as_str())
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organizations() -> [picket_domain::OrganizationId; 2] {
        ["org_00000000000000000000000001".parse().unwrap(), "org_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse().unwrap()]
    }

    #[test]
    fn a_key_is_made_of_ids_and_stays_in_its_folder() {
        let report: ReportId = "rep_0000000000000000000000000a".parse().unwrap();
        for organization in organizations() {
            for format in ReportFormat::ALL {
                let key = BlobKey::report(organization, report, 3, format);
                assert!(key.as_str().starts_with(&format!("reports/{organization}/rep_")));
                assert!(key.as_str().chars().all(|c| c.is_ascii_alphanumeric() || "/._".contains(c)), "{key}");
                assert!(!key.as_str().contains(".."), "{key}");
                assert_eq!(key.path().as_ref(), key.as_str(), "the store must not rewrite the key");
            }
        }
    }

    #[test]
    fn an_output_is_in_the_folder_of_its_organization() {
        let artifact: ArtifactId = "art_0000000000000000000000000b".parse().unwrap();
        for organization in organizations() {
            let key = BlobKey::artifact(organization, artifact);
            assert_eq!(key.as_str(), format!("artifacts/{organization}/{artifact}.gz"));
            assert_eq!(key.path().as_ref(), key.as_str());
        }
    }

    #[test]
    fn a_picture_is_in_the_folder_of_its_person() {
        let user: UserId = "usr_0000000000000000000000000a".parse().unwrap();
        let avatar: AvatarId = "avt_0000000000000000000000000b".parse().unwrap();
        let key = BlobKey::avatar(user, avatar);
        assert_eq!(key.as_str(), format!("avatars/{user}/{avatar}.png"));
        assert_eq!(key.path().as_ref(), key.as_str());
    }

    #[test]
    fn what_a_key_says_is_read_back_and_nothing_else_is_a_key() {
        let [organization, _] = organizations();
        let report: ReportId = "rep_0000000000000000000000000a".parse().unwrap();
        let artifact: ArtifactId = "art_0000000000000000000000000b".parse().unwrap();
        let user: UserId = "usr_0000000000000000000000000a".parse().unwrap();
        let avatar: AvatarId = "avt_0000000000000000000000000b".parse().unwrap();
        let of_report = BlobName::Report(organization, report);
        let keys = [
            (BlobKey::artifact(organization, artifact), BlobName::Artifact(organization, artifact)),
            (BlobKey::avatar(user, avatar), BlobName::Avatar(user, avatar)),
            (BlobKey::report(organization, report, 12, ReportFormat::Pdf), of_report),
            (BlobKey::report_logo(organization, report), of_report),
        ];
        for (key, name) in keys {
            assert_eq!(BlobKey::parse(key.as_str()), Some((key.clone(), name)));
            for changed in [format!("{key}x"), format!("x/{key}"), format!("{key}/x"), key.as_str().to_uppercase()] {
                assert_eq!(BlobKey::parse(&changed), None, "{changed}");
            }
        }
        let odd = key_of("reports", "rep_0000000000000000000000000a.012.pdf");
        for text in ["", "/", "artifacts", "artifacts/x/y.gz", "reports//x.logo", "backups/all.tar", odd.as_str()] {
            assert_eq!(BlobKey::parse(text), None, "{text}");
        }
    }

    fn key_of(folder: &str, file: &str) -> String {
        format!("{folder}/{}/{file}", organizations()[0])
    }

    #[test]
    fn another_organization_attempt_or_format_is_another_key() {
        let [one, two] = organizations();
        let report: ReportId = "rep_0000000000000000000000000a".parse().unwrap();
        let key = BlobKey::report(one, report, 1, ReportFormat::Pdf);
        assert_ne!(key, BlobKey::report(two, report, 1, ReportFormat::Pdf));
        assert_ne!(key, BlobKey::report(one, report, 2, ReportFormat::Pdf));
        assert_ne!(key, BlobKey::report(one, report, 1, ReportFormat::Html));
        assert_ne!(key, BlobKey::report_logo(one, report));
    }
}
