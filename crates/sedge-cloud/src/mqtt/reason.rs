//! Reason codes of MQTT 5 (2.4 and 3.14.2.1) in words. The codes of 3.1.1 have been translated.

/// Not authorized: in CONNACK, PUBACK, SUBACK and DISCONNECT.
pub(super) const NOT_AUTHORIZED: u8 = 0x87;
/// The broker does not speak this version.
pub(super) const UNSUPPORTED_VERSION: u8 = 0x84;
/// Another connection has the session.
pub(super) const TAKEN_OVER: u8 = 0x8e;
/// More than the broker takes of this client.
pub(super) const QUOTA_EXCEEDED: u8 = 0x97;
const RATE_TOO_HIGH: u8 = 0x96;
const CONNECTION_RATE: u8 = 0x9f;
pub(super) const MALFORMED_PACKET: u8 = 0x81;
pub(super) const PROTOCOL_ERROR: u8 = 0x82;
const PACKET_TOO_LARGE: u8 = 0x95;

/// What a code says.
pub(super) fn words(code: u8) -> &'static str {
    match code {
        0x00 => "no error",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "the broker does not take it",
        UNSUPPORTED_VERSION => "the broker does not speak this version of MQTT",
        0x85 => "the client id is not allowed",
        0x86 => "bad user name or password",
        NOT_AUTHORIZED => "not authorized",
        0x88 => "the broker is unavailable",
        0x89 => "the broker is busy",
        0x8a => "banned",
        0x8b => "the broker is shutting down",
        0x8c => "bad authentication method",
        0x8d => "the broker heard nothing for too long",
        TAKEN_OVER => "another client connected with the same client id",
        0x8f => "the broker does not take this filter",
        0x90 => "the broker does not take this topic",
        0x91 => "the packet's number is in use",
        0x92 => "the packet's number is unknown",
        0x93 => "too many unacknowledged messages",
        0x94 => "the topic alias is not allowed",
        PACKET_TOO_LARGE => "the packet is too large",
        RATE_TOO_HIGH => "too many messages per second",
        QUOTA_EXCEEDED => "a quota is exceeded",
        0x98 => "ended by the broker's administrator",
        0x99 => "the payload is not in its format",
        0x9a => "the broker keeps no retained messages",
        0x9b => "the broker does not take this QoS",
        0x9c => "use another broker for now",
        0x9d => "the broker has moved",
        0x9e => "the broker has no shared subscriptions",
        CONNECTION_RATE => "too many connections per second",
        0xa0 => "connected for as long as is allowed",
        0xa1 => "the broker has no subscription identifiers",
        0xa2 => "the broker has no subscriptions with wildcards",
        _ => "a reason that MQTT does not name",
    }
}

/// What can be done about a code with which a connection was refused or ended.
pub(super) fn hint(code: u8) -> &'static str {
    match code {
        UNSUPPORTED_VERSION => "set the other version of MQTT, or leave it to be found out",
        0x85 => "use the client id that the broker expects: for AWS IoT the thing's name",
        0x86 => "check user name and password",
        NOT_AUTHORIZED => {
            "check what the broker allows this client: for AWS IoT the policy of the certificate \
             (iot:Connect for the client id, iot:Publish and iot:Subscribe for the topics), and \
             that the certificate is active"
        }
        0x8d => "shorten keep_alive, or look for what delays the device",
        TAKEN_OVER => {
            "give every device and program a client id of its own; a Greengrass core that still \
             runs has the thing's"
        }
        RATE_TOO_HIGH | QUOTA_EXCEEDED | CONNECTION_RATE | 0x93 => {
            "lower publishes_per_second or max_in_flight, or ask for a higher quota"
        }
        PACKET_TOO_LARGE => "publish smaller messages; put what is large into S3",
        0x9c | 0x9d => "set the address of the other broker",
        0x88 | 0x89 | 0x8b => "nothing: it is tried again",
        _ => "look into the broker's log",
    }
}

/// Whether it is better to come back late: others have this session, or there was too much.
pub(super) fn slows_down(code: u8) -> bool {
    matches!(code, TAKEN_OVER | RATE_TOO_HIGH | QUOTA_EXCEEDED | CONNECTION_RATE | 0x8a | 0x93)
}
