/// Why a cryptographic operation did not yield a result.
package enum CryptographyError: Error, Hashable, Sendable {
    /// The algorithm, named here, is not one that this build computes.
    case unsupported(String)
    /// The key (or IV) has a length that the algorithm does not take.
    case invalidKey
    /// The authenticator does not match: the input was changed or is from somebody else.
    case authenticationFailed
    /// libcrypto refused; the text names the step.
    case libraryFailure(String)
}
