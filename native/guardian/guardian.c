/*
 * Outlives a process that is a member of a region, for as long as it takes to say that it died. A guest's
 * process can die while its VM, and with it the VM's connection to the ivshmem server, lives on: nobody else
 * would tell the server.
 *
 * Descriptors: 0, one end of a pipe or socket whose other end only the guarded process has; 3, the file of
 * the shared memory; 4, the file of the registers (both may be the same VFIO device). Arguments: see `struct
 * Life`.
 *
 * End of file on 0: the guarded process is gone. The obituary is written, the slot is marked in the server's
 * block and the server's doorbell is rung (docs/shared-memory.md, "Obituary"). A byte on 0: it left in order,
 * and nothing is written.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* While a device is being reset stores to it vanish and loads are all ones: the obituary is stored until it
 * stays. */
enum { kStores = 200, kPauseUs = 10000 };
enum { kPipe = 0, kMemory = 3, kRegisters = 4, kFailed = 1, kUsage = 2 };

/* The arguments, in this order, as unsigned decimal numbers. Words are little-endian, as this program's
 * processors are. */
struct Life {
  uint64_t memory; /* where the shared memory starts in descriptor 3, bytes */
  uint64_t
      obituary; /* the word of the obituary within the shared memory, bytes; its reason is the next word */
  uint64_t generation; /* of the life that ends */
  uint64_t reason;     /* REASON_* */
  uint64_t summary;    /* the summary word with the slot's mark in the server's block, bytes */
  uint64_t mark;       /* the slot's bit in it */
  uint64_t armed;      /* the armed word of the server's block, bytes */
  uint64_t doorbell;   /* the Doorbell register in descriptor 4, bytes */
  uint64_t ring;       /* what to write to it: (peer << 16) | vector */
};
enum { kArguments = sizeof(struct Life) / sizeof(uint64_t) };

static int Number(const char* text, uint64_t* number) {
  char* end;
  if (*text < '0' || *text > '9') return 0;
  errno = 0;
  *number = strtoull(text, &end, 10);
  return errno == 0 && *end == '\0';
}

/* Maps the page that holds the aligned word at `offset` of a file. NULL when that is not possible. */
static void* Word(int fd, uint64_t offset) {
  const size_t size = (size_t)sysconf(_SC_PAGESIZE);
  const uint64_t within = offset % size;
  if (offset % sizeof(uint32_t) != 0) return NULL;
  char* page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(offset - within));
  return page == MAP_FAILED ? NULL : page + within;
}

/*
 * Signals that are meant for the guarded process reach its guardian as well: a service manager that stops a
 * service sends SIGTERM to all of its processes at once. The guardian ends a moment after the process, so it
 * needs no signal to end.
 */
static void IgnoreSignals(void) {
  for (int number = 1; number < NSIG; ++number) {
    switch (number) {
      case SIGSEGV:
      case SIGBUS: /* The device is gone: there is nothing left to write to. */
      case SIGILL:
      case SIGFPE:
      case SIGABRT:
      case SIGCHLD:
        break;
      default:
        signal(number, SIG_IGN);
    }
  }
}

static void Settle(void) {
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_NAME, "ivshmem-guard", 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  /* Whoever started the process passed descriptors on that are none of ours; before Linux 5.9 they stay open.
   */
#ifdef SYS_close_range
  syscall(SYS_close_range, kRegisters + 1, ~0U, 0);
#endif
  if (chdir("/") != 0) { /* Then a file system stays busy, no more. */
  }
  setsid();
}

/* Whether the guarded process is gone without a goodbye. */
static int Died(void) {
  char goodbye;
  ssize_t got;
  do got = read(kPipe, &goodbye, sizeof goodbye);
  while (got < 0 && errno == EINTR);
  /* A reset connection is an end too: the process died with something of ours unread. */
  return got == 0 || (got < 0 && errno == ECONNRESET);
}

int main(int argc, char** argv) {
  union {
    struct Life life;
    uint64_t numbers[kArguments];
  } given;
  if (argc != kArguments + 1) return kUsage;
  for (int i = 0; i < kArguments; ++i)
    if (!Number(argv[i + 1], &given.numbers[i])) return kUsage;
  const struct Life* life = &given.life;

  IgnoreSignals();
  Settle();
  _Atomic uint32_t* obituary = Word(kMemory, life->memory + life->obituary);
  _Atomic uint32_t* reason = Word(kMemory, life->memory + life->obituary + sizeof(uint32_t));
  _Atomic uint32_t* summary = Word(kMemory, life->memory + life->summary);
  _Atomic uint32_t* armed = Word(kMemory, life->memory + life->armed);
  if (!obituary || !reason || !summary || !armed) return kFailed;
  /* Some machines put BAR0 on a page with other BARs, which VFIO does not map; then the doorbell is a pwrite.
   */
  volatile uint32_t* doorbell = Word(kRegisters, life->doorbell);

  if (!Died()) return 0;

  /* What the process wrote itself on its way out knows the reason better; then there is nothing to store. */
  const uint32_t generation = (uint32_t)life->generation;
  for (int i = 0; i < kStores && atomic_load_explicit(obituary, memory_order_acquire) != generation; ++i) {
    if (i > 0) usleep(kPauseUs);
    atomic_store_explicit(reason, (uint32_t)life->reason, memory_order_relaxed);
    /* Release: pairs with the server's acquire of the obituary, after which it reads the reason. */
    atomic_store_explicit(obituary, generation, memory_order_release);
  }
  atomic_fetch_or(summary, (uint32_t)life->mark);
  /* Rung whatever it was: the dead may have taken it and died before it rang. */
  atomic_exchange(armed, 0);
  atomic_thread_fence(memory_order_seq_cst);
  const uint32_t ring = (uint32_t)life->ring;
  if (doorbell) {
    *doorbell = ring;
  } else if (pwrite(kRegisters, &ring, sizeof ring, (off_t)life->doorbell) != (ssize_t)sizeof ring) {
    return kFailed;
  }
  return 0;
}
