#include "engine.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>

#include "../quiet_thread.h"
#include "diff.h"

namespace ivshmem::hosts {

namespace {

constexpr uint64_t kBellKey = 0, kWakeKey = 1, kTimerKey = 2;
// As for a driver that waits in its event loop.
constexpr uint64_t kSpinNs = 50'000;
constexpr int kLooksPerYield = 16;
// Of a page, what may be on its way to one node that answers none of it. Its home serves one request at a
// time and goes on when that is done with: one message. To the home: a report, what was invalidated or has
// arrived, and the next request.
constexpr size_t kFramesOfPage = 4;
// Of a space, questions who is alive that are under way: the members of one host ask about those of another,
// and all together have no more seats than that.
constexpr size_t kQuestions = size_t{dsm::shared::kMaxSlots} * dsm::shared::kMaxSlots / 4;
// Texts of a directory, whose longest have 4 MiB in parts (src/host/hosts/static-directory.ts): two of those.
constexpr uint64_t kMostSaid = 8 << 20;
constexpr size_t kTexts = 1024;

uint64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// O_NONBLOCK and the counter belong to everybody who has the eventfd: who clears the one and fills the other
// would block this thread. What is not writable is full, hence signalled already.
void Signal(int eventfd) {
  const uint64_t one = 1;
  pollfd writable{eventfd, POLLOUT, 0};
  if (poll(&writable, 1, 0) == 1) static_cast<void>(!write(eventfd, &one, sizeof one));
}

// The same holds for reading.
void Drain(int fd) {
  uint64_t counter = 0;
  iovec part{&counter, sizeof counter};
  if (preadv2(fd, &part, 1, -1, RWF_NOWAIT) >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return;
  pollfd readable{fd, POLLIN, 0};
  if (poll(&readable, 1, 0) == 1) static_cast<void>(!read(fd, &counter, sizeof counter));
}

}  // namespace

Engine::Engine(EngineOptions options)
    : options_(std::move(options)), bells_(options_.slots, -1), spin_(kSpinNs) {}

Engine::~Engine() {
  stop_.store(true);
  if (thread_.joinable()) {
    Signal(wake_);
    thread_.join();
  }
  // Connections hold frames of spaces.
  peers_.reset();
  spaces_.clear();
  for (const int fd : bells_) {
    if (fd >= 0) close(fd);
  }
  for (const int fd : {epoll_, wake_, timer_, options_.bell}) {
    if (fd >= 0) close(fd);
  }
}

int Engine::Start(SslContext context) {
  Count();
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (epoll_ < 0 || wake_ < 0 || timer_ < 0) return errno;
  const std::array<std::pair<uint64_t, int>, 3> watched{
      {{kBellKey, options_.bell}, {kWakeKey, wake_}, {kTimerKey, timer_}}};
  for (const auto& [key, fd] : watched) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = key;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) return errno;
  }
  peers_ =
      std::make_unique<Peers>(epoll_, options_.self, options_.patience_ns, static_cast<PeerSink&>(*this));
  peers_->Identify(std::move(context));
  return StartQuietThread(&thread_, "ivshmem-node", {SIGBUS, SIGSEGV, SIGFPE, SIGILL}, [this] { Run(); });
}

void Engine::Command(const std::function<void()>& command) {
  std::unique_lock lock(mutex_);
  commands_.push_back(&command);
  const uint64_t number = ++commanded_count_;
  commanded_.store(true);
  Signal(wake_);
  obeyed_.wait(lock, [&] { return obeyed_count_ >= number; });
}

void Engine::Obey() {
  if (!commanded_.load()) return;
  const std::lock_guard lock(mutex_);
  commanded_.store(false);
  now_ = Now();
  for (const auto* command : commands_) (*command)();
  obeyed_count_ += commands_.size();
  commands_.clear();
  obeyed_.notify_all();
}

void Engine::Run() {
  while (!stop_.load()) {
    if (Turn() || Spin()) continue;
    Sleep();
  }
}

bool Engine::Turn() {
  // Before anything else: this thread may have stood still.
  now_ = Now();
  Lapse();
  Obey();
  bool busy = Poll(0);
  now_ = Now();
  Lapse();
  for (const auto& [id, space] : spaces_) busy |= space->Serve(now_);
  if (now_ >= next_check_) {
    next_check_ = now_ + std::max<uint64_t>(options_.patience_ns / 8, 1'000'000);
    peers_->Check(now_);
    for (const auto& [id, space] : spaces_) space->Check(now_);
  }
  busy |= peers_->Work(now_);
  retry_ |= hears_.exchange(false);
  if (std::exchange(retry_, false)) {
    peers_->Retry(now_);
    busy = true;
  }
  bool settled = false;
  for (const auto& [id, space] : spaces_) {
    space->Due(now_);
    space->Settle(now_);
    settled = true;
  }
  // What that gave to say goes out now, and not with the next turn.
  if (settled) busy |= peers_->Send(now_);
  return busy || retry_;
}

void Engine::Lapse() {
  if (now_ < fence_at_) return;
  for (const auto& [id, space] : spaces_) {
    if (space->node().fenced()) continue;
    // First, so that it is known before 'fenced' is.
    Tell({Event::Kind::kLapsed, 0, id, 0, {}});
    space->Fence(now_);
  }
}

// True: there is something to do. Where whoever we wait for shares this processor, giving it away is the way
// to hear of him, and spinning keeps him from it.
bool Engine::Spin() {
  const uint64_t start = Now();
  const uint64_t budget = spin_.Next(start);
  if (budget == 0) return false;
  if (spin_.yield_first() && YieldFindsWork(start)) return true;
  for (int looks = 1;; looks++) {
    if (Looks()) {
      spin_.FoundLooking();
      spin_.Found(Now() - start);
      return true;
    }
    const uint64_t now = Now();
    if (now - start >= budget) break;
    if (looks % kLooksPerYield == 0 && spin_.yields(now) && YieldFindsWork(start)) return true;
  }
  spin_.FoundNothing();
  return false;
}

bool Engine::Looks() {
  bool found = commanded_.load(std::memory_order_relaxed);
  for (const auto& [id, space] : spaces_) found |= space->Marked();
  found |= Poll(0);
  const uint64_t now = Now();
  for (const auto& [id, space] : spaces_) found |= space->due() <= now;
  return found;
}

bool Engine::YieldFindsWork(uint64_t start) {
  const uint64_t before = Now();
  sched_yield();
  const uint64_t after = Now();
  const bool found = Looks();
  spin_.Yielded(after - before, found, after);
  if (found) spin_.Found(after - start);
  return found;
}

void Engine::Sleep() {
  for (const auto& [id, space] : spaces_) space->Arm(true);
  // Pairs with the members' fence between their mark and their exchange of the armed word.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  bool marked = stop_.load() || commanded_.load();
  for (const auto& [id, space] : spaces_) marked |= space->Marked();
  if (!marked) {
    SetTimer();
    const uint64_t asleep = Now();
    Poll(-1);
    spin_.BellAfter(Now() - asleep);
  }
  for (const auto& [id, space] : spaces_) space->Arm(false);
}

bool Engine::Poll(int timeout_ms) {
  std::array<epoll_event, 64> events;
  const int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms);
  now_ = Now();
  for (int i = 0; i < ready; i++) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    switch (event.data.u64) {
      case kBellKey:
        Drain(options_.bell);
        break;
      case kWakeKey:
        Drain(wake_);
        break;
      case kTimerKey:
        Drain(timer_);
        timer_at_ = UINT64_MAX;
        break;
      default:
        peers_->Ready(event.data.u64, event.events, now_);
    }
  }
  return ready > 0;
}

void Engine::SetTimer() {
  uint64_t at = next_check_;
  for (const auto& [id, space] : spaces_) {
    at = std::min(at, space->due());
    if (!space->node().fenced()) at = std::min(at, fence_at_);
  }
  if (at == timer_at_) return;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(at / 1'000'000'000);
  when.it_value.tv_nsec = static_cast<long>(at % 1'000'000'000);
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
  timer_at_ = at;
}

void Engine::Send(dsm::NodeId to, Space& space, const dsm::Message& message, uint32_t frame) {
  Connection* connection = peers_->up(to);
  // Lost, as with the connection: the space hears of it with Down.
  if (connection == nullptr) return;
  const auto length = static_cast<uint32_t>(frame == kNoFrame ? 0 : space.page_bytes());
  connection->Send(FrameOf(space.id(), message, length), space, frame);
  Bound(to, space.id(), *connection);
}

void Engine::Send(dsm::NodeId to, Space& space, const dsm::Message& message, std::vector<std::byte> body) {
  Connection* connection = peers_->up(to);
  if (connection == nullptr) return;
  const auto length = static_cast<uint32_t>(body.size());
  connection->Send(FrameOf(space.id(), message, length), std::move(body));
  Bound(to, space.id(), *connection);
}

void Engine::Call(dsm::NodeId to, const Frame& frame) {
  Connection* connection = peers_->up(to);
  if (connection == nullptr) return;
  // What members of this host say is not held against the other one: lost, as with the connection.
  if (frame.type != kGone && connection->frames_waiting() >= kQuestions) return;
  connection->Send(frame);
  Bound(to, frame.space, *connection);
}

void Engine::Hear() {
  hears_.store(true);
  Signal(wake_);
}

void Engine::Count() {
  most_frames_ = kTexts;
  most_kept_ = kMostSaid;
  for (const auto& [id, space] : spaces_) {
    most_frames_ += kFramesOfPage * space->pages() + kQuestions;
    // One more than the most may have been computed.
    const uint64_t written = Space::kMostUnanswered + MostDiff(space->page_bytes());
    most_kept_ += written;
    if (space->replicas() == 1) continue;
    // A home passes on what all of them have written, and in a new view all pages of which something was under
    // way, whole.
    const auto hosts = static_cast<uint64_t>(std::popcount(space->alive()));
    most_frames_ += (hosts + 1) * space->pages();
    most_kept_ += hosts * written + space->pages() * MostDiff(space->page_bytes());
  }
}

// Whoever does as the protocol says never has so much to be told: it asks for more only when it has read the
// answer.
void Engine::Bound(dsm::NodeId node, uint32_t space, const Connection& connection) {
  if (connection.frames_waiting() <= most_frames_ && connection.bytes_kept() <= most_kept_) return;
  Reject(node, space, "it asks for more than it takes");
}

bool Engine::Departing(uint32_t slot) const {
  return std::any_of(spaces_.begin(), spaces_.end(),
                     [slot](const auto& item) { return item.second->Departing(slot); });
}

void Engine::Ring(uint32_t slot) {
  if (bells_[slot] >= 0) Signal(bells_[slot]);
}

void Engine::Reject(dsm::NodeId node, uint32_t space, const char* why) {
  Tell({Event::Kind::kReject, node, space, 0, why});
  if (Connection* connection = peers_->up(node); connection != nullptr) connection->Break(why);
}

void Engine::Up(dsm::NodeId node) { Tell({Event::Kind::kUp, node, 0, 0, {}}); }

void Engine::Down(dsm::NodeId node, const std::string& why) {
  for (const auto& [id, space] : spaces_) space->Cut(node);
  Tell({Event::Kind::kDown, node, 0, 0, why});
}

void Engine::Refused(const std::string& why) { Tell({Event::Kind::kRefused, 0, 0, 0, why}); }

bool Engine::Take(dsm::NodeId node, const Frame& frame, std::span<const std::byte> body) {
  if (frame.type == kTell) {
    // It stays on its connection, with all that is behind it.
    if (options_.full()) return false;
    Tell({Event::Kind::kTold, node, 0, 0,
          std::string(reinterpret_cast<const char*>(body.data()), body.size())});
    return true;
  }
  Space* space = find(frame.space);
  if (frame.type > kAlive) {
    if (space != nullptr && !space->Called(node, frame)) Reject(node, frame.space, "a call that cannot be");
    return true;
  }
  // A host that has no part in it yet, or none any more, is told everything again with the view after its
  // part is made. To keep the message would keep what the directories say behind it, which is what makes that
  // part.
  if (space == nullptr) return true;
  const bool now = space->Receive(node, frame.message, body, now_) == dsm::PageProtocol::Taken::kNow;
  // It may have been the last that the space waited for to go on in a new view.
  retry_ |= now && frame.type == static_cast<uint8_t>(dsm::MessageType::kFlush);
  return now;
}

Space* Engine::find(uint32_t id) {
  const auto found = spaces_.find(id);
  return found == spaces_.end() ? nullptr : found->second.get();
}

}  // namespace ivshmem::hosts
