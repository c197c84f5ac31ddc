/*
 * The sleep and doorbell protocol of docs/decisions/sleep-and-doorbell.md, on a machine with store buffers.
 *
 * SENDERS peers each own one ring to one receiver and send MESSAGES messages. The receiver sleeps on an eventfd. Checked:
 * when nothing can move any more, every message has been consumed (no wake-up is lost); and every message is consumed in
 * the end (nothing spins for ever).
 *
 * Memory is x86-TSO: a plain store goes to the process's store buffer, which drains to memory in order at any later time; a
 * fence, a locked read-modify-write and a system call wait until it is empty. No process loads a word it stores to, so
 * buffers need no forwarding. Loads are in order.
 *
 * A macro named NO_... or ..._FIRST removes or swaps one step; each such mutant must lose a wake-up.
 */
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef MESSAGES
#define MESSAGES 2
#endif
#ifndef PER_WORD
#define PER_WORD 2              /* senders whose bits share a pending word, and so a summary bit */
#endif
#define BUFFER 3                /* stores a buffer holds; a store into a full one waits */
#define RECEIVER SENDERS        /* its process number; senders are 0 .. SENDERS - 1 */
#define ALL (SENDERS * MESSAGES)

/* Shared memory. Rings are counters of published descriptors: their content is the ring tests' business. */
byte published[SENDERS];        /* the last word of the first descriptor of a burst */
bit notify[SENDERS] = 1;       /* device event suppression of each ring: 1 is ENABLE, the zeroed state */
byte pending[SENDERS];          /* words in the receiver's member block: a bit for each sender */
byte summary;                   /* bit w: pending[w] may be non-zero */
bit armed;                      /* the receiver sleeps, or is about to */
byte eventfd;                   /* counter in the kernel */

byte consumed;

/* Store buffers. What a store names: */
#define AT_RING 0               /* published[who] */
#define AT_ENABLED 1            /* notify[ring] */
#define AT_ARMED 2
chan buffer[SENDERS + 1] = [BUFFER] of { byte, byte, byte };  /* where, which ring, value */

#define WORD(n) ((n) / PER_WORD)
#define BIT(n) (1 << ((n) % PER_WORD))

#define FENCE(who) empty(buffer[who])

proctype Drain(byte who) {
  byte where, ring, value;
end:
  do
  :: atomic {
      buffer[who]?where, ring, value ->
      if
      :: where == AT_RING -> published[ring] = value
      :: where == AT_ENABLED -> notify[ring] = value
      :: else -> armed = value
      fi;
      where = 0; ring = 0; value = 0
    }
  od
}

/* Sets a bit: looked at first, and a locked or only if it is clear. */
inline set_bit(word, mask) {
  seen = word & mask;
  if
  :: seen -> seen = 0
  :: else -> atomic { FENCE(me); word = word | mask }
  fi
}

/* Wakes the receiver if it sleeps: looked at first, then the locked exchange, then the write to the eventfd. */
inline ring_doorbell() {
  seen = armed;
  if
  :: seen ->
    atomic { FENCE(me); seen = armed; armed = 0 };
    if
    :: seen -> eventfd++; seen = 0
    :: else
    fi
  :: else
  fi
}

proctype Sender(byte me) {
  byte sent;
  bit wanted;
  byte seen;
  do
  :: sent < MESSAGES ->
    sent++;
    buffer[me]!AT_RING, me, sent;               /* write the descriptor */
#ifndef NO_SENDER_FENCE
    FENCE(me);
#endif
    wanted = notify[me];                       /* does the receiver want to hear of it? */
    if
    :: wanted ->
      wanted = 0;
#ifdef DOORBELL_FIRST
      ring_doorbell();
#endif
#ifdef SUMMARY_FIRST
      set_bit(summary, 1 << WORD(me));
      set_bit(pending[WORD(me)], BIT(me))
#else
      set_bit(pending[WORD(me)], BIT(me));
      set_bit(summary, 1 << WORD(me))
#endif
#ifndef DOORBELL_FIRST
      ;
      ring_doorbell()
#endif
    :: else
    fi
  :: else -> break
  od
}

/* Takes everything out of one ring with its notifications off, and looks again after turning them on. */
inline drain_ring(n) {
  buffer[RECEIVER]!AT_ENABLED, n, 0;
  do
  ::
    do
    :: atomic { taken[n] < published[n] -> taken[n]++; consumed++ }
    :: atomic { taken[n] >= published[n] -> break }
    od;
    buffer[RECEIVER]!AT_ENABLED, n, 1;
#ifndef NO_RING_FENCE
    FENCE(RECEIVER);
#endif
#ifdef NO_RING_RECHECK
    break
#else
    if
    :: atomic { taken[n] < published[n] -> skip };
      buffer[RECEIVER]!AT_ENABLED, n, 0
    :: atomic { taken[n] >= published[n] -> break }
    fi
#endif
  od
}

/* Takes the marks and drains every ring they name. */
inline service() {
  atomic { FENCE(RECEIVER); words = summary; summary = 0 };      /* locked exchange */
  w = 0;
  do
  :: w < SENDERS && (words & (1 << w)) ->
#ifdef PENDING_CLEARED_LATE
    bits = pending[w];
#else
    atomic { FENCE(RECEIVER); bits = pending[w]; pending[w] = 0 };  /* locked exchange */
#endif
    n = w * PER_WORD;
    do
    :: n < SENDERS && WORD(n) == w ->
      if
      :: bits & BIT(n) -> drain_ring(n)
      :: else
      fi;
      n++
    :: else -> break
    od;
#ifdef PENDING_CLEARED_LATE
    atomic { FENCE(RECEIVER); pending[w] = 0 };
#endif
    w++
  :: w < SENDERS && !(words & (1 << w)) -> w++
  :: else -> break
  od;
  atomic { words = 0; bits = 0; n = 0; w = 0 }
}

active proctype Receiver() {
  byte taken[SENDERS];
  byte words, w, bits, n;
  bit more;
  /* Start all others in one step, so that process numbers add no states. */
  atomic {
    n = 0;
    do
    :: n < SENDERS -> run Sender(n); run Drain(n); n++
    :: else -> break
    od;
    n = 0;
    run Drain(RECEIVER)
  };
  do
  ::
    service();
#ifdef SUMMARY_CLEARED_LATE
    atomic { FENCE(RECEIVER); summary = 0 };
#endif
    buffer[RECEIVER]!AT_ARMED, 0, 1;
#ifndef NO_SLEEP_FENCE
    FENCE(RECEIVER);
#endif
#ifdef NO_SLEEP_RECHECK
    more = 0;
#else
    more = (summary != 0);
#endif
    if
    :: more -> more = 0
    :: else ->
      FENCE(RECEIVER);                          /* entering the kernel */
end_asleep:
      atomic { eventfd > 0 -> eventfd = 0 }
    fi;
    buffer[RECEIVER]!AT_ARMED, 0, 0
  od
}

/* When nothing else can move: is everybody asleep with nothing left undone? */
active proctype Judge() {
end:
  atomic { timeout -> assert(consumed == ALL) }
}

#ifdef LIVENESS
ltl all_consumed { <> (consumed == ALL) }
#endif
