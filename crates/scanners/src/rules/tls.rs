//! Rules of TLS: certificates, protocol versions, cipher suites.

use super::rules;

rules! {
    TLS_CERTIFICATE_EXPIRED = "tls.certificate_expired", Medium, "The TLS certificate has expired",
        "Clients refuse the connection or, worse, are taught to click the warning away.",
        "Renew the certificate and automate its renewal.";
    TLS_CERTIFICATE_NOT_YET_VALID = "tls.certificate_not_yet_valid", Low, "The TLS certificate is not valid yet",
        "Clients with a correct clock refuse the connection.",
        "Check the clock of the issuer and install a certificate that is valid now.";
    TLS_CERTIFICATE_SELF_SIGNED = "tls.certificate_self_signed", Medium, "The TLS certificate is self-signed",
        "No authority vouches for the certificate, so a client cannot tell this server from one in the middle.",
        "Install a certificate of an authority that the clients trust.";
    TLS_WEAK_KEY = "tls.weak_key", Medium, "The key of the TLS certificate is too short",
        "RSA and DSA keys below 2048 bits, and elliptic curves below 224 bits, can be broken with means that exist.",
        "Issue a new certificate with an RSA key of at least 2048 bits or an elliptic curve such as P-256.";
    TLS_WEAK_SIGNATURE = "tls.weak_signature", Medium, "The TLS certificate is signed with a broken hash function",
        "Collisions of MD5 and SHA-1 can be made, so a second certificate with the same signature can be as well.",
        "Have the certificate issued again with a signature over SHA-256 or better.";
    TLS_KNOWN_KEY = "tls.known_private_key", Critical, "The private key of the TLS certificate is publicly known",
        "The key is in a published collection of keys found in devices and firmware: anybody can read and change the traffic.",
        "Make a new key and certificate, and update the firmware that shipped the old one.";
    TLS_SSL2 = "tls.weak_protocol.sslv2", High, "The server speaks SSL 2.0",
        "SSL 2.0 does not protect what it carries, and a key used with it endangers other servers with the same key (DROWN).",
        "Switch SSL 2.0 off and allow TLS 1.2 and 1.3 alone.";
    TLS_SSL3 = "tls.weak_protocol.sslv3", High, "The server speaks SSL 3.0",
        "The padding of SSL 3.0 lets an attacker in the network decrypt parts of the traffic (POODLE).",
        "Switch SSL 3.0 off and allow TLS 1.2 and 1.3 alone.";
    TLS_10 = "tls.weak_protocol.tlsv1.0", Low, "The server speaks TLS 1.0",
        "TLS 1.0 is retired (RFC 8996): it depends on MD5 and SHA-1 and knows no modern cipher suites.",
        "Allow TLS 1.2 and 1.3 alone.";
    TLS_11 = "tls.weak_protocol.tlsv1.1", Low, "The server speaks TLS 1.1",
        "TLS 1.1 is retired (RFC 8996): it depends on SHA-1 and knows no modern cipher suites.",
        "Allow TLS 1.2 and 1.3 alone.";
    TLS_CIPHER_NULL = "tls.weak_cipher.null", High, "The server offers TLS cipher suites without encryption",
        "With a NULL cipher suite the traffic can be read by everybody on its way.",
        "Remove NULL cipher suites from the configuration.";
    TLS_CIPHER_ANONYMOUS = "tls.weak_cipher.anonymous", High, "The server offers TLS cipher suites without authentication",
        "In an anonymous key exchange a client cannot tell this server from one in the middle.",
        "Remove anonymous cipher suites from the configuration.";
    TLS_CIPHER_EXPORT = "tls.weak_cipher.export", High, "The server offers TLS cipher suites of export strength",
        "Export cipher suites have keys of 40 to 56 bits and endanger stronger connections of the same server (FREAK, Logjam).",
        "Remove EXPORT cipher suites from the configuration.";
    TLS_CIPHER_RC4 = "tls.weak_cipher.rc4", Medium, "The server offers TLS cipher suites with RC4",
        "The biases of RC4 give away repeated secrets such as cookies (RFC 7465).",
        "Remove RC4 cipher suites from the configuration.";
    TLS_CIPHER_DES = "tls.weak_cipher.des", Medium, "The server offers TLS cipher suites with DES or 3DES",
        "DES has keys of 56 bits, and the small blocks of 3DES give away data of long connections (SWEET32).",
        "Remove DES and 3DES cipher suites from the configuration.";
}
