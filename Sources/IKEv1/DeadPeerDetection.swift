import IPsec
import IPsecDOI
import ISAKMP
import Primitives

/// What is known of the peer's life (RFC 3706).
struct DeadPeerDetection: Hashable, Sendable {
    /// The vendor ID that announces it, with version 1.0.
    static let vendorID: [UInt8] = [
        0xAF, 0xCA, 0xD7, 0x13, 0x68, 0xA1, 0xF1, 0xC9, 0x6B, 0x86, 0x96, 0xFC, 0x77, 0x57, 0x01, 0x00,
    ]
    /// Stands for the question in retransmission timers; no Quick Mode has this message ID.
    static let timerID = UInt32.max
    /// How long IPsec SAs without traffic stay when the ISAKMP SA is gone.
    static let bereftTime = Duration.seconds(60)

    /// The number of the last R-U-THERE; 0 before the first.
    var sequence: UInt32 = 0
    /// The first of the questions that are open now, and when it was asked.
    var firstOpen: UInt32?
    var askedAt: Instant?
    var attempts = 0
    /// The highest number that the peer asked with.
    var peerSequence: UInt32?
}

extension IKEv1Session {
    /// The peer may have been quiet for long enough to ask.
    mutating func checkLiveness(_ context: inout Context) {
        if case .bereft = phase {
            if context.now - lastHeard >= DeadPeerDetection.bereftTime {
                close(.deletedByPeer, &context)
            } else {
                context.set(.liveness, after: DeadPeerDetection.bereftTime)
            }
            return
        }
        guard let connection, connection.deadPeerDelay > .zero, let phaseOne else { return }
        let quiet = context.now - lastHeard
        guard quiet >= connection.deadPeerDelay else {
            context.set(.liveness, after: connection.deadPeerDelay - quiet)
            return
        }
        context.set(.liveness, after: connection.deadPeerDelay)
        guard phaseOne.supportsDeadPeerDetection, deadPeerDetection.firstOpen == nil else { return }
        if deadPeerDetection.sequence == 0 {
            // RFC 3706 §5.4: the first number is random, with room to count.
            deadPeerDetection.sequence = context.environment.randomness.uint32() >> 2
        }
        deadPeerDetection.firstOpen = deadPeerDetection.sequence + 1
        deadPeerDetection.askedAt = context.now
        deadPeerDetection.attempts = 0
        askForLife(&context)
    }

    /// Asks, or asks again with the next number.
    mutating func askForLife(_ context: inout Context) {
        guard deadPeerDetection.firstOpen != nil, let asked = deadPeerDetection.askedAt, let phaseOne, let connection
        else { return }
        if lastHeard > asked {
            settleLife(&context)
            return
        }
        let attempts = deadPeerDetection.attempts
        let isOver =
            connection.deadPeerTimeout > .zero
            ? context.now - lastHeard >= connection.deadPeerTimeout : attempts > context.settings.retransmitTries
        guard !isOver else {
            close(.peerUnresponsive, &context)
            return
        }
        deadPeerDetection.sequence += 1
        deadPeerDetection.attempts += 1
        sendProtectedNotification(
            IPsecDOI.areYouThere, data: deadPeerDetection.sequence.octets, keys: phaseOne.keys,
            lastBlock: phaseOne.lastBlock, &context)
        // With a timeout of its own the questions come at a steady pace.
        let pause =
            connection.deadPeerTimeout > .zero
            ? min(connection.deadPeerDelay, connection.deadPeerTimeout / 4)
            : context.settings.retransmitDelay(attempt: attempts)
        context.set(.retransmit(spi: ownCookie, messageID: DeadPeerDetection.timerID), after: pause)
    }

    private mutating func settleLife(_ context: inout Context) {
        deadPeerDetection.firstOpen = nil
        deadPeerDetection.askedAt = nil
        context.cancel(.retransmit(spi: ownCookie, messageID: DeadPeerDetection.timerID))
    }

    /// R-U-THERE-ACK carries the number of the question (RFC 3706 §5.3).
    mutating func noteLife(_ notification: NotificationPayload, _ context: inout Context) {
        let sequence = notification.data.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard notification.data.count == 4, let first = deadPeerDetection.firstOpen,
            (first...deadPeerDetection.sequence).contains(sequence)
        else { return }
        settleLife(&context)
    }

    /// Answers R-U-THERE, but not one that was recorded and played again (RFC 3706 §5.4).
    mutating func answerLife(_ notification: NotificationPayload, _ context: inout Context) {
        guard let phaseOne, notification.data.count == 4 else { return }
        let sequence = notification.data.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard deadPeerDetection.peerSequence.map({ sequence > $0 }) ?? true else { return }
        deadPeerDetection.peerSequence = sequence
        sendProtectedNotification(
            IPsecDOI.areYouThereAcknowledged, data: notification.data, keys: phaseOne.keys,
            lastBlock: phaseOne.lastBlock, &context)
    }
}
