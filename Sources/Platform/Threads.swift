import Glibc

/// Threads that the daemon owns for its whole life.
package enum Threads {
    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts a detached thread.
    package static func start(_ run: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        // SAFETY: the retained box is released exactly once, by the thread that takes it.
        let argument = Unmanaged.passRetained(Body(run)).toOpaque()
        let status = pthread_create(
            &thread, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue().run()
                return nil
            }, argument)
        precondition(status == 0, "the machine can run a few more threads")
        pthread_detach(thread)
    }
}
