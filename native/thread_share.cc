#include "thread_share.h"

#include <napi.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "addon_data.h"
#include "arguments.h"
#include "eventfd.h"
#include "exports.h"
#include "wrapped.h"

namespace ivshmem {

namespace {

struct Registry {
  std::mutex mutex;
  std::unordered_map<std::string, std::weak_ptr<SharedAmongThreads>> shares;
};

/** Never destroyed: threads may come here while the process exits. */
Registry& TheRegistry() {
  static auto* registry = new Registry;
  return *registry;
}

/** The opener's side. */
class ThreadShare final : public Closable {
 public:
  static constexpr const char* kName = "ThreadShare";
  static constexpr napi_type_tag kTag{0x69767368'6d656d21, 0x5d0c7be1'3f98a246};

  explicit ThreadShare(const Napi::CallbackInfo& info)
      : data_(AddonData::From(info.Env())), shared_(std::make_shared<SharedAmongThreads>()) {
    const Napi::Env env = info.Env();
    const Arguments arguments(info);
    token_ = arguments.Name(0, "token", kTokenLimit);
    const int file = arguments.Fd(1, "file");
    const int bell = arguments.OptionalFd(2, "bell");
    shared_->file = Duplicate(env, file);
    if (bell >= 0) shared_->bell = DuplicateEventfd(env, bell);
    shared_->home = CreateEventfd(env);
    if (!AddShared(token_, shared_)) ThrowErrno(env, "share", EEXIST);
    data_.Add(this);
  }
  ~ThreadShare() override { Close(); }

  void Close() override {
    if (std::exchange(closed_, true)) return;
    data_.Remove(this);
    RemoveShared(token_);
    const std::lock_guard lock(shared_->mutex);
    shared_->closed = true;
    for (const auto& weak : shared_->mapped) {
      // Not answered by a crash of whoever looks there: what could not be covered stays what it was.
      if (const auto region = weak.lock()) static_cast<void>(region->Revoke());
    }
    shared_->mapped.clear();
    shared_->doorbells.clear();
    shared_->file.Reset();
    for (const auto& [seat, fd] : shared_->seats) Signal(fd);
  }

  Napi::Value Home(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), shared_->home.get());
  }

  /** Drains `home`; how many threads have ended since. */
  Napi::Value Heard(const Napi::CallbackInfo& info) {
    DrainEventfd(shared_->home.get());
    const std::lock_guard lock(shared_->mutex);
    return Napi::Number::New(info.Env(), std::exchange(shared_->ended, 0));
  }

  Napi::Value SetDoorbell(const Napi::CallbackInfo& info) {
    const auto peer = static_cast<uint32_t>(Arguments(info).Integer(0, "peer", 0, kMostSeats));
    HeldDoorbell doorbell = DoorbellFrom(info.Env(), info[1]);
    const std::lock_guard lock(shared_->mutex);
    if (shared_->closed) return info.Env().Undefined();
    if (info[1].IsNull()) {
      shared_->doorbells.erase(peer);
    } else {
      shared_->doorbells.insert_or_assign(peer, std::move(doorbell));
    }
    return info.Env().Undefined();
  }

  Napi::Value Wake(const Napi::CallbackInfo& info) {
    const auto seat = static_cast<uint32_t>(Arguments(info).Integer(0, "seat", 0, kMostSeats));
    shared_->Wake(seat);
    return info.Env().Undefined();
  }

  Napi::Value WakeAll(const Napi::CallbackInfo& info) {
    const std::lock_guard lock(shared_->mutex);
    for (const auto& [seat, fd] : shared_->seats) Signal(fd);
    return info.Env().Undefined();
  }

  Napi::Value CloseMethod(const Napi::CallbackInfo& info) {
    Close();
    return info.Env().Undefined();
  }

 private:
  AddonData& data_;
  std::string token_;
  std::shared_ptr<SharedAmongThreads> shared_;
  bool closed_ = false;
};

}  // namespace

void SharedAmongThreads::Wake(uint32_t seat) {
  const std::lock_guard lock(mutex);
  if (const auto found = seats.find(seat); found != seats.end()) Signal(found->second);
}

std::shared_ptr<SharedAmongThreads> FindShared(const std::string& token) {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  const auto found = registry.shares.find(token);
  return found == registry.shares.end() ? nullptr : found->second.lock();
}

bool AddShared(const std::string& token, const std::shared_ptr<SharedAmongThreads>& shared) {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  return registry.shares.emplace(token, shared).second;
}

void RemoveShared(const std::string& token) {
  Registry& registry = TheRegistry();
  const std::lock_guard lock(registry.mutex);
  registry.shares.erase(token);
}

void Signal(int fd) {
  const uint64_t one = 1;
  // Non-blocking and nobody else's: what is full is signalled already.
  static_cast<void>(!write(fd, &one, sizeof one));
}

void DefineThreadShare(Napi::Env env, Napi::Object exports) {
  using W = Wrapped<ThreadShare>;
  using T = ThreadShare;
  exports.Set("ThreadShare",
              W::Define(env, {W::Getter<&T::Home>("home"), W::Method<&T::Heard>("heard"),
                              W::Method<&T::SetDoorbell>("setDoorbell"), W::Method<&T::Wake>("wake"),
                              W::Method<&T::WakeAll>("wakeAll"), W::Method<&T::CloseMethod>("close")}));
}

}  // namespace ivshmem
