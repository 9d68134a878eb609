//! The one TLS and signature provider of the process. Without it both libraries panic when they see two, or none.

/// Chooses aws-lc-rs for TLS and for tokens; whoever calls it first in a process decides, and all of ours decide the same.
pub(crate) fn install() {
    // An error says that it was chosen before.
    let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let _chosen = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
