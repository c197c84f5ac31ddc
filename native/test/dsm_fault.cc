// The fault handler of native/dsm: each case in a process of its own, since a case may be meant to end it.
//
// dsm_fault [CASE] runs one case or all.
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "../dsm/fault_handler.h"
#include "expect.h"

// The sanitizers leave the signal to the process, as it is when there are none.
extern "C" const char* __asan_default_options();
extern "C" const char* __tsan_default_options();
const char* __asan_default_options() { return "handle_segv=0:allow_user_segv_handler=1:detect_leaks=0"; }
const char* __tsan_default_options() { return "handle_segv=0:allow_user_segv_handler=1:die_after_fork=0"; }

namespace ivshmem::dsm {

namespace {

constexpr size_t kPage = 4096;

// Protected memory, and a thread that maps what is asked for.
class Memory {
 public:
  explicit Memory(size_t pages, Verdict verdict = Verdict::kRetry)
      : length_(pages * kPage), verdict_(verdict) {
    base_ = static_cast<char*>(mmap(nullptr, length_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    EXPECT(base_ != MAP_FAILED);
    EXPECT(WatchRange(base_, length_, &queue));
  }

  void Start() {
    thread_ = std::thread([this] {
      while (!stop_.load()) {
        FaultCall call;
        while (Take(call)) {
          (call.access == Access::kWrite ? writes : reads)++;
          if (verdict_ == Verdict::kRetry) Protect(call.address, call.access);
          queue.Answer(call.cell, verdict_);
        }
        queue.Wait(1000);
      }
    });
  }

  void Stop() {
    stop_.store(true);
    queue.Wake();
    thread_.join();
  }

  bool Take(FaultCall& call) { return queue.Take(call); }
  void Protect(uintptr_t address, Access access) {
    const int protection = access == Access::kWrite ? PROT_READ | PROT_WRITE : PROT_READ;
    EXPECT(mprotect(reinterpret_cast<void*>(address & ~(kPage - 1)), kPage, protection) == 0);
  }
  void Forbid(size_t page) { EXPECT(mprotect(at(page), kPage, PROT_NONE) == 0); }
  char* at(size_t page) { return base_ + page * kPage; }
  volatile char* load(size_t page) { return at(page); }

  FaultQueue queue;
  std::atomic<int> reads{0}, writes{0};

 private:
  char* base_;
  size_t length_;
  Verdict verdict_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

void ReadsAndWrites() {
  Memory memory(4);
  memory.Start();
  EXPECT(*memory.load(0) == 0);
  EXPECT(memory.reads == 1 && memory.writes == 0);
  *memory.load(1) = 1;
  EXPECT(memory.reads == 1 && memory.writes == 1);
  // A read-modify-write is one write, not a read and then a write.
  auto* word = reinterpret_cast<std::atomic<uint64_t>*>(memory.at(2));
  word->fetch_add(5);
  uint64_t five = 5;
  EXPECT(word->compare_exchange_strong(five, 6));
  EXPECT(memory.reads == 1 && memory.writes == 2);
  // What may be read is asked for once more to be written.
  *memory.load(0) = 1;
  EXPECT(memory.reads == 1 && memory.writes == 3);
  errno = 77;
  EXPECT(*memory.load(3) == 0 && errno == 77);
  memory.Stop();
}

// More threads than cells, pages taken away all the time: every addition counts.
void ManyThreads() {
  constexpr size_t kThreads = FaultQueue::kCells + 16, kPages = 16, kRounds = 2000;
  Memory memory(kPages);
  memory.Start();
  std::atomic<bool> done{false};
  std::thread thief([&] {
    for (size_t page = 0; !done.load(); page = (page + 1) % kPages) {
      memory.Forbid(page);
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  });
  std::vector<std::thread> threads;
  for (size_t seed = 0; seed < kThreads; seed++) {
    threads.emplace_back([&, seed] {
      for (size_t round = 0; round < kRounds; round++) {
        reinterpret_cast<std::atomic<uint64_t>*>(memory.at((seed * 7 + round) % kPages))->fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done.store(true);
  thief.join();
  uint64_t sum = 0;
  for (size_t page = 0; page < kPages; page++) {
    sum += reinterpret_cast<std::atomic<uint64_t>*>(memory.at(page))->load();
  }
  EXPECT(sum == kThreads * kRounds);
  memory.Stop();
}

// The kernel does not wait for us: the memory is asked for before the call.
void SystemCalls() {
  Memory memory(1);
  memory.Start();
  int pipes[2];
  EXPECT(pipe(pipes) == 0 && write(pipes[1], "x", 1) == 1);
  EXPECT(read(pipes[0], memory.at(0), 1) == -1 && errno == EFAULT);
  EXPECT(memory.reads == 0 && memory.writes == 0);
  const auto address = reinterpret_cast<uintptr_t>(memory.at(0));
  EXPECT(memory.queue.Ask(address, Access::kWrite) == Verdict::kRetry);
  EXPECT(read(pipes[0], memory.at(0), 1) == 1 && *memory.at(0) == 'x');
  memory.Stop();
}

sigjmp_buf rescue;
void* volatile seen_address;
volatile sig_atomic_t inside_blocked;

void Recover(int, siginfo_t* info, void*) {
  seen_address = info->si_addr;
  sigset_t now;
  pthread_sigmask(SIG_BLOCK, nullptr, &now);
  inside_blocked = sigismember(&now, SIGUSR2) != 0 && sigismember(&now, SIGSEGV) != 0;
  siglongjmp(rescue, 1);
}

void RecoverPlain(int) { siglongjmp(rescue, 2); }

// Who had the signal before gets what is not ours, as if the kernel had called: V8 ends wasm accesses so.
void Chained(bool siginfo) {
  struct sigaction action {};
  if (siginfo) {
    action.sa_sigaction = Recover;
    action.sa_flags = SA_SIGINFO;
  } else {
    action.sa_handler = RecoverPlain;
  }
  sigaddset(&action.sa_mask, SIGUSR2);
  EXPECT(sigaction(SIGSEGV, &action, nullptr) == 0);
  Memory memory(2);
  memory.Start();
  char* other = static_cast<char*>(mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (int round = 0; round < 3; round++) {
    const int came = sigsetjmp(rescue, 1);
    if (came == 0) {
      *static_cast<volatile char*>(other) = 1;
      EXPECT(false);
    }
    EXPECT(came == (siginfo ? 1 : 2));
    EXPECT(!siginfo || (seen_address == other && inside_blocked));
    memory.Forbid(0);
    EXPECT(*memory.load(0) == 0);
  }
  EXPECT(memory.reads == 3);
  memory.Stop();
}

// A page that cannot be had is a fault like any other.
void Failed() {
  struct sigaction action {};
  action.sa_sigaction = Recover;
  action.sa_flags = SA_SIGINFO;
  EXPECT(sigaction(SIGSEGV, &action, nullptr) == 0);
  Memory memory(1, Verdict::kFail);
  memory.Start();
  if (sigsetjmp(rescue, 1) == 0) {
    *memory.load(0) = 1;
    EXPECT(false);
  }
  EXPECT(seen_address == memory.at(0));
  memory.Stop();
}

// Threads that wait when the space ends do not wait for ever.
void Closed() {
  Memory memory(1);
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  const auto address = reinterpret_cast<uintptr_t>(memory.at(0));
  for (uint32_t i = 0; i < FaultQueue::kCells + 8; i++) {
    threads.emplace_back([&] { failed += memory.queue.Ask(address, Access::kRead) == Verdict::kFail; });
  }
  FaultCall call;
  while (!memory.Take(call)) memory.queue.Wait(1000);  // one is taken and never answered
  memory.queue.Close();
  for (std::thread& thread : threads) thread.join();
  EXPECT(failed == static_cast<int>(FaultQueue::kCells) + 8);
  memory.queue.Answer(call.cell, Verdict::kRetry);
  UnwatchRange(memory.at(0));
}

Memory* nested;
std::atomic<bool> nested_done{false};

void TouchInHandler(int) {
  *nested->load(1) = 1;
  nested_done.store(true);
}

// While a thread waits, a handler of another signal runs on it and touches such memory as well.
[[maybe_unused]] void Nested() {
  struct sigaction action {};
  action.sa_handler = TouchInHandler;
  EXPECT(sigaction(SIGUSR1, &action, nullptr) == 0);
  Memory memory(2);
  nested = &memory;
  std::thread waiting([&] { *memory.load(0) = 1; });
  FaultCall first;
  while (!memory.Take(first)) memory.queue.Wait(1000);
  pthread_kill(waiting.native_handle(), SIGUSR1);
  FaultCall second;
  while (!memory.Take(second)) memory.queue.Wait(1000);
  EXPECT(second.address == reinterpret_cast<uintptr_t>(memory.at(1)));
  memory.Protect(second.address, second.access);
  memory.queue.Answer(second.cell, Verdict::kRetry);
  while (!nested_done.load()) std::this_thread::yield();
  memory.Protect(first.address, first.access);
  memory.queue.Answer(first.cell, Verdict::kRetry);
  waiting.join();
}

// Nothing is mapped there, and the undefined-behaviour sanitizer does not take it for a null pointer.
char* const volatile kNowhere = reinterpret_cast<char*>(8);

[[noreturn]] void Crash(bool nowhere) {
  Memory memory(1);
  memory.Start();
  EXPECT(*memory.load(0) == 0);
  char* other = static_cast<char*>(mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  *static_cast<volatile char*>(nowhere ? kNowhere : other) = 1;
  _exit(3);
}

[[noreturn]] void Sent() {
  Memory memory(1);
  kill(getpid(), SIGSEGV);
  pause();
  _exit(3);
}

// Nobody answers in a child of fork: it crashes there, at once.
void Forked() {
  Memory memory(1);
  memory.Start();
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    *memory.load(0) = 1;
    _exit(3);
  }
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child);
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  memory.Stop();
}

uintptr_t Pc(pid_t pid) {
  user_regs_struct registers;
  iovec vector{&registers, sizeof(registers)};
  EXPECT(ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &vector) == 0);
#if defined(__x86_64__)
  return registers.rip;
#else
  return registers.pc;
#endif
}

// What a core dump would show: the signal that ends the process comes at the instruction that failed.
void CrashInPlace() {
  const pid_t child = fork();
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    Crash(true);
  }
  std::vector<uintptr_t> places;
  int status = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    const int number = WSTOPSIG(status);
    if (number == SIGSEGV) {
      siginfo_t info;
      EXPECT(ptrace(PTRACE_GETSIGINFO, child, nullptr, &info) == 0);
      if (info.si_addr == kNowhere) places.push_back(Pc(child));
    }
    ptrace(PTRACE_CONT, child, nullptr, number == SIGSTOP ? 0 : number);
  }
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  EXPECT(places.size() == 2 && places[0] == places[1]);
}

struct Case {
  const char* name;
  void (*run)();
  int signal;  // that has to end it; 0: it ends well
};

const Case kCases[] = {
    {"reads and writes", ReadsAndWrites, 0},
    {"many threads", ManyThreads, 0},
    {"system calls", SystemCalls, 0},
    {"chained with siginfo", [] { Chained(true); }, 0},
    {"chained without", [] { Chained(false); }, 0},
    {"failed", Failed, 0},
    {"closed", Closed, 0},
#if !defined(__SANITIZE_THREAD__)  // it keeps signals back while a thread waits in a system call of its own
    {"nested", Nested, 0},
#endif
    {"crash nowhere", [] { Crash(true); }, SIGSEGV},
    {"crash in protected memory", [] { Crash(false); }, SIGSEGV},
    {"sent", Sent, SIGSEGV},
    {"forked", Forked, 0},
    {"crash in place", CrashInPlace, 0},
};

}  // namespace

int Main(int argc, char** argv) {
  int wrong = 0;
  int run = 0;
  for (const Case& one : kCases) {
    if (argc > 1 && std::strcmp(argv[1], one.name) != 0) continue;
    run++;
    const pid_t child = fork();
    if (child == 0) {
      alarm(120);
      one.run();
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    const bool good = one.signal == 0 ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                                      : WIFSIGNALED(status) && WTERMSIG(status) == one.signal;
    std::printf("%s %s\n", good ? "ok    " : "not ok", one.name);
    std::fflush(stdout);
    if (!good) {
      std::printf("       status 0x%x\n", static_cast<unsigned>(status));
      wrong++;
    }
  }
  return wrong == 0 && run > 0 ? 0 : 1;
}

}  // namespace ivshmem::dsm

int main(int argc, char** argv) { return ivshmem::dsm::Main(argc, argv); }
