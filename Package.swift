// swift-tools-version: 6.2
import PackageDescription

/// Targets that hold no `unsafe` word: strict memory safety makes the compiler check it.
let pure: [SwiftSetting] = [
    .strictMemorySafety(), .treatAllWarnings(as: .error), .enableUpcomingFeature("InternalImportsByDefault"),
]
/// Targets at the machine's edge (libcrypto, packet buffers, system calls).
let edge: [SwiftSetting] = [.treatAllWarnings(as: .error), .enableUpcomingFeature("InternalImportsByDefault")]

let package = Package(
    name: "parley",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "parley", targets: ["parley"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/swhitty/FlyingFox", exact: "0.27.1"),
        .package(url: "https://github.com/apple/swift-asn1", exact: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", exact: "1.21.1"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
    ],
    targets: [
        // Ground
        .target(name: "Primitives", swiftSettings: pure),
        .target(
            name: "CLibcrypto",
            cSettings: [.define("OPENSSL_SUPPRESS_DEPRECATED")],
            linkerSettings: [.linkedLibrary("crypto")]),
        .target(name: "CIPsecMB"),
        // Links against what swift-crypto carries along
        .target(
            name: "CPacketAEAD", dependencies: ["CIPsecMB", .product(name: "Crypto", package: "swift-crypto")]),
        .target(
            name: "Cryptography",
            dependencies: [
                "Primitives", "CLibcrypto", "CIPsecMB", "CPacketAEAD",
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: edge),
        .target(
            name: "CTLS", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        // TLS as values in and out, for EAP's methods
        .target(
            name: "TLS", dependencies: ["Primitives", "Cryptography", "CTLS"], swiftSettings: edge),
        // Values
        .target(name: "IPsec", dependencies: ["Primitives", "Cryptography"], swiftSettings: pure),
        // The three parts
        .target(name: "ISAKMP", dependencies: ["Primitives"], swiftSettings: pure),
        .target(name: "Oakley", dependencies: ["Primitives", "Cryptography"], swiftSettings: pure),
        .target(name: "SKEME", dependencies: ["Primitives", "Cryptography"], swiftSettings: pure),
        // The modes of Oakley and SKEME as exchanges on the framework
        .target(
            name: "KeyDeterminationModes", dependencies: ["Primitives", "Cryptography", "ISAKMP", "Oakley", "SKEME"],
            swiftSettings: pure),
        // The domain of interpretation
        .target(
            name: "IPsecDOI", dependencies: ["Primitives", "Cryptography", "ISAKMP", "IPsec"], swiftSettings: pure),
        // The Extensible Authentication Protocol
        .target(name: "EAP", dependencies: ["Primitives", "Cryptography", "IPsec"], swiftSettings: pure),
        // RADIUS, which EAP and XAUTH may ask
        .target(name: "RADIUS", dependencies: ["Primitives", "Cryptography"], swiftSettings: pure),
        // Key exchanges
        .target(
            name: "IKEv1",
            dependencies: ["Primitives", "Cryptography", "ISAKMP", "Oakley", "SKEME", "IPsec", "IPsecDOI"],
            swiftSettings: pure),
        .target(
            name: "IKEv2",
            dependencies: ["Primitives", "Cryptography", "ISAKMP", "Oakley", "IPsec", "EAP"],
            swiftSettings: pure),
        // One machine
        .target(
            name: "KeyManagement",
            dependencies: ["Primitives", "Cryptography", "ISAKMP", "IPsec", "IKEv1", "IKEv2"],
            swiftSettings: pure),
        .target(name: "CZlib", linkerSettings: [.linkedLibrary("z")]),
        .target(name: "CChecksum"),
        .target(
            name: "DataPlane", dependencies: ["Primitives", "Cryptography", "IPsec", "CZlib", "CChecksum"],
            swiftSettings: edge),
        .target(
            name: "Configuration", dependencies: ["Primitives", "Cryptography", "IPsec", "RADIUS"], swiftSettings: pure),
        .target(name: "Control", dependencies: ["Primitives"], swiftSettings: pure),
        .target(name: "Conversion", swiftSettings: pure),
        // Certificates
        .target(
            name: "Certificates",
            dependencies: [
                "Primitives", "Cryptography", "IPsec",
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            swiftSettings: pure),
        // Explaining
        .target(
            name: "Explain",
            dependencies: [
                "Primitives", "Cryptography", "ISAKMP", "Oakley", "SKEME", "KeyDeterminationModes", "IPsec", "IPsecDOI",
                "IKEv1", "KeyManagement", "Configuration", "Certificates",
            ],
            swiftSettings: pure),
        .target(name: "Capture", dependencies: ["Primitives"], swiftSettings: pure),
        // Edges
        .target(name: "CPlatform", linkerSettings: [.linkedLibrary("resolv")]),
        // Debian's headers include one another from this folder on.
        .target(
            name: "CStack", cSettings: [.unsafeFlags(["-I/usr/include/lwip"])], linkerSettings: [.linkedLibrary("lwip")]
        ),
        .target(name: "CCurl", linkerSettings: [.linkedLibrary("curl")]),
        .target(name: "CSQLite", linkerSettings: [.linkedLibrary("sqlite3")]),
        .target(
            name: "Platform",
            dependencies: ["Primitives", "IPsec", "DataPlane", "CPlatform", "CStack", "CCurl", "CSQLite"],
            swiftSettings: edge),
        .target(
            name: "Credentials",
            dependencies: ["Primitives", "Cryptography", "TLS", "IPsec", "Certificates"],
            swiftSettings: pure),
        .target(
            name: "Simulation",
            dependencies: [
                "Primitives", "Cryptography", "ISAKMP", "Oakley", "KeyDeterminationModes", "IPsec", "KeyManagement",
                "DataPlane", "Credentials",
            ],
            swiftSettings: pure),
        // Wiring
        .target(
            name: "Daemon",
            dependencies: [
                "Primitives", "Cryptography", "ISAKMP", "KeyDeterminationModes", "IPsec", "KeyManagement", "DataPlane",
                "Configuration",
                "Control", "Certificates", "Credentials", "Explain", "Platform", "RADIUS", "Simulation",
                .product(name: "Logging", package: "swift-log"), .product(name: "FlyingFox", package: "FlyingFox"),
            ],
            swiftSettings: edge),
        .executableTarget(
            name: "parley",
            dependencies: [
                "Primitives", "Cryptography", "KeyDeterminationModes", "IPsec", "KeyManagement", "Configuration",
                "Control", "Credentials", "Certificates", "Conversion", "Explain",
                "Capture", "Simulation", "Platform", "Daemon",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: edge),
        .target(name: "CHeap", path: "Benchmarks/CHeap"),
        .executableTarget(
            name: "parley-benchmark",
            dependencies: [
                "Primitives", "CPacketAEAD", "CLibcrypto", "CHeap", "Cryptography", "DataPlane", "Oakley", "ISAKMP",
                "IPsec", "IKEv1", "IKEv2", "KeyManagement",
                "Credentials",
            ],
            path: "Benchmarks/ParleyBenchmark", swiftSettings: edge),
        // Tests
        .target(name: "VectorSupport", dependencies: ["Primitives"], path: "Tests/VectorSupport", swiftSettings: edge),
        .target(name: "AllocationCounter", path: "Tests/AllocationCounter"),
        .testTarget(
            name: "CryptographyTests",
            dependencies: ["Cryptography", "Primitives", "VectorSupport", "AllocationCounter"],
            exclude: ["reference"],
            swiftSettings: edge),
        .testTarget(
            name: "OakleyTests", dependencies: ["Oakley", "Cryptography", "Primitives", "VectorSupport"],
            exclude: ["reference"], swiftSettings: edge),
        .testTarget(
            name: "ConfigurationTests",
            dependencies: ["Configuration", "Cryptography", "IPsec", "Primitives", "RADIUS", "VectorSupport"]),
        .testTarget(
            name: "DataPlaneTests",
            dependencies: ["Primitives", "Cryptography", "IPsec", "DataPlane", "AllocationCounter"],
            swiftSettings: edge),
        .testTarget(name: "ConversionTests", dependencies: ["Conversion", "Configuration", "IPsec"]),
        .testTarget(name: "ControlTests", dependencies: ["Control", "Primitives"]),
        .testTarget(
            name: "DaemonTests",
            dependencies: [
                "Certificates", "Daemon", "Configuration", "Control", "Cryptography", "Explain", "IPsec",
                "KeyDeterminationModes", "KeyManagement",
                "Platform", "Primitives", "RADIUS", "VectorSupport",
                .product(name: "Logging", package: "swift-log"),
            ]),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "parley", "Capture", "Certificates", "Configuration", "Control", "Cryptography", "Explain", "IPsec",
                "Platform",
                "Primitives",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),
        .testTarget(
            name: "CertificatesTests",
            dependencies: [
                "Certificates", "Cryptography", "IPsec", "Primitives",
                .product(name: "Crypto", package: "swift-crypto"),
            ]),
        .testTarget(
            name: "CredentialsTests",
            dependencies: ["Certificates", "Credentials", "Cryptography", "IPsec", "Primitives", "VectorSupport"]),
        .testTarget(
            name: "IKEv2Tests",
            dependencies: [
                "IKEv2", "Configuration", "IPsec", "ISAKMP", "Oakley", "Cryptography", "Primitives", "VectorSupport",
            ]),
        .testTarget(
            name: "TLSTests",
            dependencies: ["TLS", "Certificates", "Cryptography", "IPsec", "Primitives"]),
        .testTarget(
            name: "EAPTests",
            dependencies: [
                "EAP", "Certificates", "Credentials", "Cryptography", "IPsec", "Primitives", "TLS",
            ]),
        .testTarget(name: "RADIUSTests", dependencies: ["RADIUS", "Cryptography", "Primitives"]),
        .testTarget(name: "ISAKMPTests", dependencies: ["ISAKMP", "Primitives", "VectorSupport"]),
        .testTarget(
            name: "KeyDeterminationModesTests",
            dependencies: ["KeyDeterminationModes", "ISAKMP", "Oakley", "Cryptography", "Primitives", "VectorSupport"],
            exclude: ["reference"]),
        .testTarget(
            name: "IPsecDOITests",
            dependencies: ["IPsecDOI", "IPsec", "ISAKMP", "Cryptography", "Primitives", "VectorSupport"]),
        .testTarget(
            name: "IKEv1Tests",
            dependencies: [
                "Certificates", "IKEv1", "IPsec", "IPsecDOI", "ISAKMP", "Oakley", "SKEME", "Credentials",
                "Cryptography",
                "Primitives", "VectorSupport",
            ],
            exclude: ["reference"]),
        .testTarget(name: "InteropTests", exclude: ["calls"], swiftSettings: edge),
        .testTarget(
            name: "PlatformTests",
            dependencies: [
                "Primitives", "Cryptography", "IPsec", "DataPlane", "Platform", "CPlatform", "CStack",
                "AllocationCounter",
            ],
            swiftSettings: edge),
        .testTarget(
            name: "KeyManagementTests",
            dependencies: ["KeyManagement", "IPsec", "ISAKMP", "Cryptography", "Primitives"]),
        .testTarget(name: "CaptureTests", dependencies: ["Capture", "Primitives"]),
        .testTarget(
            name: "ExplainTests",
            dependencies: [
                "Explain", "KeyManagement", "Configuration", "Credentials", "Capture", "IKEv1", "IPsec", "ISAKMP",
                "Oakley", "SKEME", "Cryptography", "Primitives",
            ]),
        .testTarget(
            name: "BadInputTests",
            dependencies: ["Capture", "Explain", "KeyManagement", "IPsec", "ISAKMP", "Cryptography", "Primitives"]),
        .testTarget(
            name: "ClientTests",
            dependencies: [
                "KeyManagement", "IKEv1", "IKEv2", "EAP", "IPsec", "IPsecDOI", "ISAKMP", "Oakley", "TLS",
                "Certificates",
                "Configuration", "Credentials", "Cryptography", "Primitives",
            ]),
        .testTarget(
            name: "SimulationTests",
            dependencies: [
                "Simulation", "ISAKMP", "KeyDeterminationModes", "KeyManagement", "IPsec", "Cryptography", "Primitives",
            ]),
        .testTarget(name: "TidyTests"),
    ]
)

// libFuzzer changes how a program is linked: its targets exist only where they are asked for (scripts/fuzz).
if Context.environment["PARLEY_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "decoder-fuzzer", dependencies: ["Primitives", "ISAKMP", "Explain", "Capture"], path: "Fuzz/Decoder",
            swiftSettings: [.unsafeFlags(["-sanitize=fuzzer", "-parse-as-library"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer", "-use-ld=lld"])]))
}
