/// What a gateway says to the clients that come with an operating system: proposals that include those which the client
/// offers, strongest first, and a liveness check, since such clients go without a word. A key that is written out counts
/// before the profile's.
struct ClientProfile: Sendable {
    let name: String
    /// The client, in words.
    let client: String
    let proposals: [String]
    /// With groups and without: some clients have no perfect forward secrecy until they rekey, and others never.
    let childProposals: [String]
    /// With PEAP its users are asked for crypto-binding.
    var bindsUsers = false
    let deadPeerDelay = Duration.seconds(30)

    static let all = [windows, apple, android, strongSwan]

    /// Windows 10 and 11. Without the registry's `NegotiateDH2048_AES256` or a policy by PowerShell it offers modp1024 alone;
    /// policies join any of its ciphers, hashes and groups. It lists 3DES first and AES by rising keys, so that each line here
    /// is of one strength. A child's rekeying may bring a group that its set-up had not.
    static let windows = ClientProfile(
        name: "windows", client: "Windows 10 and 11",
        proposals: [
            "aes256gcm16-prfsha384-prfsha256-ecp384-ecp256-modp2048", "aes256-sha384-ecp384-ecp256-modp2048",
            "aes256-sha256-ecp384-ecp256-modp2048", "aes128gcm16-prfsha384-prfsha256-ecp384-ecp256-modp2048",
            "aes192-aes128-sha384-sha256-ecp384-ecp256-modp2048", "aes256-aes192-aes128-sha1-ecp384-ecp256-modp2048",
            "aes256gcm16-aes128gcm16-prfsha384-prfsha256-modp1024", "aes256-sha384-modp1024", "aes256-sha256-modp1024",
            "aes192-aes128-sha384-sha256-modp1024", "aes256-aes192-aes128-sha1-modp1024",
        ],
        childProposals: [
            "aes256gcm16-aes192gcm16-aes128gcm16-ecp384-ecp256-modp2048-modp1024-none",
            "aes256-aes192-aes128-sha256-ecp384-ecp256-modp2048-modp1024-none",
            "aes256-aes192-aes128-sha1-ecp384-ecp256-modp2048-modp1024-none",
        ], bindsUsers: true)

    /// iOS and macOS: connections that are made by hand have a list of their own, of ecp256 and modp2048 and without perfect
    /// forward secrecy for the child; profiles name one of each that Apple has. From iOS 26 on ML-KEM may come behind.
    static let apple = ClientProfile(
        name: "apple", client: "iOS and macOS",
        proposals: [
            "aes256gcm16-prfsha512-prfsha384-prfsha256-x25519-ecp384-ecp256-ke1_mlkem1024-ke1_mlkem768",
            "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha512-prfsha384-prfsha256-ecp384-ecp256-x25519-ecp521-modp4096"
                + "-modp3072-modp2048",
            "aes256-aes128-sha512-sha384-sha256-ecp384-ecp256-x25519-ecp521-modp4096-modp3072-modp2048",
            "aes256-aes128-sha1-modp2048",
        ],
        childProposals: [
            "aes256gcm16-aes128gcm16-chacha20poly1305-ecp384-ecp256-x25519-ecp521-modp4096-modp3072-modp2048-none",
            "aes256-aes128-sha512-sha384-sha256-ecp384-ecp256-x25519-ecp521-modp4096-modp3072-modp2048-none",
            "aes256-aes128-sha1-modp2048-none",
        ])

    /// Android 11 and later, its built-in client.
    static let android = ClientProfile(
        name: "android", client: "Android 11 and later",
        proposals: [
            "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha512-prfsha384-prfsha256-x25519-modp4096-modp3072-modp2048",
            "aes256-aes128-sha512-sha384-sha256-x25519-modp4096-modp3072-modp2048",
            "aes256ctr-aes128ctr-sha512-sha384-sha256-x25519-modp4096-modp3072-modp2048",
        ],
        childProposals: [
            "aes256gcm16-aes128gcm16-chacha20poly1305-x25519-modp4096-modp3072-modp2048-none",
            "aes256-aes128-aes256ctr-sha512-sha384-sha256-x25519-modp4096-modp3072-modp2048-none",
        ])

    /// strongSwan's app for Android.
    static let strongSwan = ClientProfile(
        name: "strongswan", client: "strongSwan's app",
        proposals: [
            "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha512-prfsha384-prfsha256-x25519-ecp256-ecp384-modp3072",
            "aes256-aes128-sha512-sha384-sha256-x25519-ecp256-ecp384-modp3072",
        ],
        childProposals: [
            "aes256gcm16-aes128gcm16-chacha20poly1305-x25519-ecp256-ecp384-modp3072-none",
            "aes256-aes128-sha512-sha384-sha256-x25519-ecp256-ecp384-modp3072-none",
        ])
}
