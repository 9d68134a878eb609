//! What members see of each other, and what the invited see. No view holds a token.

use jiff::Timestamp;
use picket_domain::Role;
use picket_store::{
    invitations::{Invitation, Offer},
    members::MemberRow,
};
use serde::Serialize;
use utoipa::ToSchema;

/// A member.
#[derive(Serialize, ToSchema)]
pub(super) struct MemberView {
    /// Identity of the person.
    id: String,
    /// The name.
    name: String,
    /// The address.
    email: String,
    /// `owner`, `admin`, `analyst` or `viewer`.
    #[schema(value_type = String, example = "analyst")]
    role: Role,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    joined_at: Timestamp,
    /// When the member was seen last, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen_at: Option<Timestamp>,
    /// Whether a second factor is on.
    mfa_enabled: bool,
}

/// An invitation that can be taken up. Its token is in the letter and nowhere else.
#[derive(Serialize, ToSchema)]
pub(super) struct InvitationView {
    /// Identity.
    id: String,
    /// Who is invited.
    email: String,
    /// As what.
    #[schema(value_type = String, example = "analyst")]
    role: Role,
    /// Who invites.
    invited_by: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// What an invitation offers to the one who holds its token.
#[derive(Serialize, ToSchema)]
pub(super) struct OfferView {
    /// The organization's name.
    pub organization: String,
    /// The address that was invited.
    pub email: String,
    /// As what.
    #[schema(value_type = String, example = "analyst")]
    pub role: Role,
    /// Until when.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Whether somebody has registered with the address: then sign in to accept, otherwise register by accepting.
    pub registered: bool,
}

/// An organization that was joined.
#[derive(Serialize, ToSchema)]
pub(super) struct JoinedView {
    /// Identity of the organization; `X-Organization` takes it.
    organization_id: String,
    /// Its name.
    organization: String,
    /// As what.
    #[schema(value_type = String, example = "analyst")]
    role: Role,
}

impl MemberView {
    pub(super) fn new(member: MemberRow) -> Self {
        Self {
            id: member.user_id.to_string(),
            name: member.name,
            email: member.email,
            role: member.role,
            joined_at: member.joined_at,
            last_seen_at: member.last_seen_at,
            mfa_enabled: member.mfa_enabled,
        }
    }
}

impl InvitationView {
    pub(super) fn new(invitation: Invitation) -> Self {
        Self {
            id: invitation.id.to_string(),
            email: invitation.email,
            role: invitation.role,
            invited_by: invitation.invited_by.to_string(),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

impl OfferView {
    pub(super) fn new(offer: Offer, registered: bool) -> Self {
        Self {
            organization: offer.organization_name,
            email: offer.email,
            role: offer.role,
            expires_at: offer.expires_at,
            registered,
        }
    }
}

impl JoinedView {
    pub(super) fn new(offer: Offer) -> Self {
        Self {
            organization_id: offer.organization_id.to_string(),
            organization: offer.organization_name,
            role: offer.role,
        }
    }
}
