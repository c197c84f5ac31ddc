/*
 * The mutex of a space and those who wait for it (src/dsm/sync/mutex.ts, blocking.ts), with a death and waits that are given up.
 *
 * MEMBERS members lock ROUNDS times each. Every atomic operation on a shared word is one step, and between two of them anything can
 * happen; all are sequentially consistent in the code, so there are no store buffers here. One member can die at any step, or
 * none; the others are told, one by one. Checked: never two owners among the living; who holds the lock is not robbed of it; and
 * when nothing can move any more, nobody who lives waits: no wake-up is lost.
 *
 * A macro NO_..., or one of ROB and BIT_LATE, changes one step; each such mutant must fail.
 */
#ifndef MEMBERS
#define MEMBERS 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#define NOBODY MEMBERS

/* The state word: its owner's token, and WAITED. They change together. */
byte owner = NOBODY;
bit waited;
bit waiter[MEMBERS];            /* the set of waiters: a bit is changed by one atomic instruction */

bit dead[MEMBERS + 1];          /* as the slot table says; NOBODY does not die */
bit mail[MEMBERS];              /* a notification is under way; more than one are one */
bit inside[MEMBERS];            /* between lock and release */
bit finished[MEMBERS];

/* What follows an access and is nobody else's business is one step with it: that keeps the search small. */
inline compare_and_swap(o1, w1, o2, w2) {
  if
  :: owner == o1 && waited == w1 -> owner = o2; waited = w2; ok = 1
  :: else -> ok = 0
  fi
}

inline look() {
  atomic { o = owner; w = waited }
}

/* #take(): free, handed to this member, or left by one that is dead. */
inline take() {
  do
  :: look();
    atomic {
      if
#ifdef ROB
      :: true ->
#else
      :: o == NOBODY || o == me || dead[o] ->
#endif
        compare_and_swap(o, w, me, 1);
        o = 0; w = 0;
        if
        :: ok -> break
        :: else
        fi
#ifndef ROB
      :: else -> ok = 0; o = 0; w = 0; break
#endif
      fi
    }
  od
}

/* mark(): has whoever releases it look at the bits; not ok when there is something to be had by now. */
inline mark() {
  do
  :: look();
    atomic {
      if
#ifndef NO_SECOND_LOOK
      :: o == NOBODY || o == me || dead[o] -> ok = 0; o = 0; w = 0; break
#endif
      :: else ->
#ifndef NO_FLAG
        if
        :: w -> ok = 1
        :: else -> compare_and_swap(o, w, o, 1)
        fi;
#else
        ok = 1;
#endif
        o = 0; w = 0;
        if
        :: ok -> break
        :: else
        fi
      fi
    }
  od
}

/* SlotSet.take(): the next living member after this one; looked at first, then taken by an atomic and. */
inline choose() {
  k = 1;
  do
  :: atomic {
      k <= MEMBERS ->
      s = (me + k) % MEMBERS;
      k++;
      ok = (waiter[s] && !dead[s])
    };
    if
    :: atomic { ok -> ok = waiter[s]; waiter[s] = 0; if :: ok -> k = 0; break :: else fi }
    :: else
    fi
  :: atomic { k > MEMBERS -> s = NOBODY; k = 0; ok = 0; break }
  od
}

inline wake_one() {
  choose();
  atomic {
    if
    :: s != NOBODY -> mail[s] = 1
    :: else
    fi;
    s = 0; ok = 0
  }
}

inline free_it() {
  atomic {
    compare_and_swap(me, 1, NOBODY, 0);
    assert(ok)                                  /* ERR_IVSHMEM_SYNC_LOST */
  };
#ifndef NO_WAKE
  wake_one()
#endif
}

inline unlock() {
  atomic { compare_and_swap(me, 0, NOBODY, 0) };
  if
  :: ok
  :: else ->
    if
    :: free_it()
    ::                                          /* every sixteenth time: handed over */
      choose();
      if
      :: s != NOBODY && s != me && !dead[s] ->
        atomic {
          compare_and_swap(me, 1, s, 1);
          assert(ok)
        };
        mail[s] = 1;
#ifndef NO_LOOK_AFTER
        /* It may have died just before it got it, and everybody may know by now. */
        atomic {
          if
          :: dead[s] -> compare_and_swap(s, 1, NOBODY, 0)
          :: else -> ok = 0
          fi;
          s = 0
        };
        if
        :: ok -> wake_one()
        :: else
        fi
#endif
      :: else -> s = 0; free_it()
      fi
    fi
  fi
}

/* Nobody waits here any more, and this member had been chosen. */
inline pass_on() {
  do
  :: look();
    if
    :: o == NOBODY -> o = 0; wake_one(); break
    :: o == me && w ->
      atomic { compare_and_swap(me, 1, NOBODY, 0); o = 0; w = 0 };
      if
      :: ok -> wake_one()
      :: else
      fi;
      break
    :: else ->
      atomic {
        if
        :: w -> ok = 1
        :: else -> compare_and_swap(o, w, o, 1)
        fi;
        o = 0; w = 0;
        if
        :: ok -> break
        :: else
        fi
      }
    fi
  od
}

proctype Member(byte me) {
  byte round, o, k, s;
  bit w, ok, chosen;
  {
    do
    :: round < ROUNDS ->
      round++;
      atomic { compare_and_swap(NOBODY, 0, me, 0) };    /* tryLock() */
      if
      :: ok -> goto holds
      :: else
      fi;
again:
      take();
      if
      :: ok -> goto taken
      :: else
      fi;
#ifndef BIT_LATE
      waiter[me] = 1;
#endif
      mark();
#ifdef BIT_LATE
      waiter[me] = 1;
#endif
      if
      :: ok
      :: else -> goto again
      fi;
end_asleep:
      if
      :: atomic { mail[me] -> mail[me] = 0 }; goto again
#ifdef GIVE_UP
      :: me == 0 ->                             /* its time is up */
        atomic { ok = waiter[me]; waiter[me] = 0 };
        if
        :: ok
        :: else ->
          chosen = 1;                           /* just now: it looks once more when it is notified */
#ifndef NO_PASS_ON
          pass_on()
#endif
        fi;
        goto next
#endif
      fi;
taken:
      waiter[me] = 0;                           /* if it was chosen: WAITED is set, its release will look */
holds:
      atomic {
        inside[me] = 1;
        k = 0;
        do
        :: k < MEMBERS -> assert(k == me || !inside[k] || dead[k]); k++
        :: else -> break
        od;
        k = 0
      };
      inside[me] = 0;
      unlock();
next:
      atomic { o = 0; w = 0; ok = 0; s = 0 }
    :: else -> break
    od;
    finished[me] = 1;
end_idle:
    do
    :: atomic { mail[me] -> mail[me] = 0 };
#ifndef NO_PASS_ON
      if
      :: chosen -> chosen = 0; pass_on(); atomic { o = 0; w = 0; ok = 0; s = 0 }
      :: else
      fi
#endif
    od
  } unless { dead[me] }
}

/* The server: a member dies, or none; it is in the slot table before anybody hears of it. Unless one of them is special, all are alike. */
active proctype Death() {
  byte n;
  if
  :: true                                       /* none */
  :: true ->
#ifdef GIVE_UP
    do
    :: n < MEMBERS - 1 -> n++
    :: break
    od;
#endif
    dead[n] = 1;
#ifndef NO_LEAVE
    n = 0;
    do
    :: n < MEMBERS -> mail[n] = 1; n++
    :: else -> break
    od
#endif
  fi
}

init {
  byte n;
  atomic {
    do
    :: n < MEMBERS -> run Member(n); n++
    :: else -> break
    od;
    n = 0
  };
  /* When nothing else can move: does anybody still wait? */
end:
  atomic {
    timeout ->
    do
    :: n < MEMBERS -> assert(finished[n] || dead[n]); n++
    :: else -> break
    od
  }
}
