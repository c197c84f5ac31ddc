#include <linux/magic.h>
#include <napi.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "../addon_data.h"
#include "../arguments.h"
#include "../exports.h"
#include "../loop_callback.h"
#include "../pinned.h"
#include "../unique_fd.h"
#include "../uv_handle.h"
#include "../wrapped.h"
#include "member_service.h"

namespace ivshmem {

namespace {

using dsm::MemberService;
using dsm::Outcome;
using dsm::Right;

constexpr double kMostMs = 3'600'000;
constexpr uint64_t kMs = 1'000'000;

/** What an acquisition, or another thing that was asked for, ended with; of which page that is so, or -1. */
struct Ended {
  uint32_t ticket;
  Outcome outcome;
  double page;
};

double PageNumber(dsm::PageId page) {
  return page == dsm::MemberSpace::kNoPage ? -1 : static_cast<double>(page);
}

/** From the service's thread to the loop. Outlives the object: the service may be about to report. */
struct Reports {
  std::mutex mutex;
  std::vector<Ended> ended;
  std::vector<uint64_t> called;
  uv_async_t* async = nullptr;
};

/** A file on huge pages is mapped by whole ones. */
bool Mappable(int fd, uint64_t page_bytes) {
  struct statfs system {};
  if (fstatfs(fd, &system) != 0 || system.f_type != HUGETLBFS_MAGIC) return true;
  return static_cast<uint64_t>(system.f_bsize) <= page_bytes;
}

/** Addresses and nothing behind them, starting at a multiple of `alignment`. Null with errno set. */
std::byte* Reserve(uint64_t length, uint64_t alignment) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* got = mmap(nullptr, length + alignment, PROT_NONE, flags, -1, 0);
  if (got == MAP_FAILED) return nullptr;
  const auto start = reinterpret_cast<uintptr_t>(got);
  const uintptr_t base = (start + alignment - 1) / alignment * alignment;
  if (base != start) munmap(got, base - start);
  if (base - start != alignment) munmap(reinterpret_cast<void*>(base + length), alignment - (base - start));
  return reinterpret_cast<std::byte*>(base);
}

class SpreadMemory final : public Closable {
 public:
  static constexpr const char* kName = "SpreadMemory";
  static constexpr napi_type_tag kTag{0x69767368'6d656d0a, 0x71d3e05b'c84a9f26};

  explicit SpreadMemory(const Napi::CallbackInfo& info)
      : data_(AddonData::From(info.Env())),
        on_event_(info.This().As<Napi::Object>(), Arguments(info).Function(1, "onEvent"),
                  "ivshmem.SpreadMemory"),
        reports_(std::make_shared<Reports>()) {
    const Napi::Env env = info.Env();
    if (!info[0].IsObject()) ThrowType(env, "options must be an object");
    const Napi::Object from = info[0].As<Napi::Object>();
    const auto number = [&](const char* name, double low, double high) {
      return static_cast<uint64_t>(IntegerFrom(env, from.Get(name), name, low, high));
    };
    file_ = Duplicate(env, static_cast<int>(number("file", 0, INT_MAX)));
    if (from.Get("bell").As<Napi::Number>().Int32Value() >= 0)
      bell_ = DuplicateEventfd(env, static_cast<int>(number("bell", 0, INT_MAX)));
    memory_ = PinnedFrom(env, from.Get("memory"), "memory");
    doorbell_ = DoorbellFrom(env, from.Get("doorbell"));
    const uint64_t at = number("at", 0, kMaxSafeInteger);
    const uint64_t bytes = number("bytes", 1, kMaxSafeInteger);
    const uint64_t size = number("size", 1, kMaxSafeInteger);
    const auto slot = static_cast<uint32_t>(number("slot", 0, dsm::shared::kMaxSlots - 1));
    if (at % 4096 != 0 || at > memory_.size || bytes > memory_.size - at)
      ThrowRange(env, "the allocation does not lie in the memory");
    std::byte* const allocation = memory_.base + at;
    const auto shape = dsm::MemberRings::Read(allocation, bytes, bytes, slot);
    if (!shape || size > shape->pages << shape->page_shift ||
        shape->pages != PagesOf(size, shape->page_shift))
      ThrowRange(env, "the control part makes no sense");
    const uint64_t page_bytes = uint64_t{1} << shape->page_shift;
    if (!Mappable(file_.get(), page_bytes))
      ThrowRange(env, "the region lies on huge pages, which are larger than the pages of the space");
    const uint64_t length = shape->pages << shape->page_shift;
    base_ = Reserve(length, page_bytes);
    if (base_ == nullptr) ThrowErrno(env, "mmap");
    auto region = std::make_unique<Region>(base_, length, size);
    mapping_ = Napi::Persistent(Mapping::Create(env, std::move(region)).As<Napi::Object>());
    region_ = data_.FindRegion(base_);
    async_.Open(env, data_, this, "uv_async_init",
                [](uv_loop_t* loop, uv_async_t* handle) { return uv_async_init(loop, handle, OnAsync); });
    uv_unref(async_.base());
    reports_->async = async_.get();
    dsm::MemberSpace::Options options;
    options.base = base_;
    options.length = length;
    options.file = file_.get();
    options.file_offset = number("fileOffset", 0, kMaxSafeInteger) + at;
    options.generation = static_cast<uint32_t>(number("generation", 1, UINT32_MAX));
    options.pin_ns = number("pinMs", 0, kMostMs) * kMs;
    options.patience_ns = number("patienceMs", 1, kMostMs) * kMs;
    options.report = [reports = reports_](uint32_t ticket, Outcome outcome, dsm::PageId page) {
      const std::lock_guard lock(reports->mutex);
      reports->ended.push_back({ticket, outcome, PageNumber(page)});
      if (reports->async != nullptr) uv_async_send(reports->async);
    };
    options.whole = from.Get("whole").ToBoolean();
    options.called = [reports = reports_](uint64_t party) {
      const std::lock_guard lock(reports->mutex);
      // The same again says nothing new.
      if (std::ranges::find(reports->called, party) == reports->called.end())
        reports->called.push_back(party);
      if (reports->async != nullptr) uv_async_send(reports->async);
    };
    const dsm::NodeBell bell{doorbell_.word, doorbell_.value, doorbell_.eventfd.get()};
    space_ = std::make_shared<dsm::MemberSpace>(
        std::move(options), *shape, dsm::MemberRings(allocation, *shape, slot, bell), service().queue());
    if (const int error = service().Add(space_, base_, length, bell_.get()); error != 0) {
      space_.reset();
      reports_->async = nullptr;
      async_.Close();
      ThrowErrno(env, "epoll_ctl", error);
    }
    data_.Add(this);
  }
  ~SpreadMemory() override { Close(); }

  void Close() override {
    if (!async_) return;
    data_.Remove(this);
    if (service().Remove(space_, base_)) {
      // Threads that were on their way into this memory find zeros, now and later: it stays where it is.
      static_cast<void>(new std::shared_ptr<Region>(region_));
    }
    last_ = space_->counts();
    space_.reset();
    {
      const std::lock_guard lock(reports_->mutex);
      reports_->async = nullptr;
    }
    async_.Close();
    on_event_.Reset();
    region_.reset();
    memory_ = {};
    doorbell_ = {};
    file_.Reset();
    bell_.Reset();
  }

  Napi::Value MappingOf(const Napi::CallbackInfo&) { return mapping_.Value(); }

  Napi::Value Shape(const Napi::CallbackInfo& info) {
    Napi::Object result = Napi::Object::New(info.Env());
    if (!space_) return info.Env().Null();
    const dsm::Shape& shape = space_->shape();
    result.Set("pageBytes", static_cast<double>(uint64_t{1} << shape.page_shift));
    result.Set("pages", static_cast<double>(shape.pages));
    result.Set("frames", static_cast<double>(shape.frames));
    return result;
  }

  Napi::Value EndedBy(const Napi::CallbackInfo& info) {
    Napi::Value ended = info.Env().Null();
    if (!space_) return ended;
    service().With([&] {
      if (!space_->stopped()) return;
      Napi::Object result = Napi::Object::New(info.Env());
      result.Set("outcome", Napi::Number::New(info.Env(), static_cast<double>(space_->why())));
      result.Set("page", Napi::Number::New(info.Env(), PageNumber(space_->why_page())));
      ended = result;
    });
    return ended;
  }

  Napi::Value Acquire(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const uint32_t ticket = arguments.Uint32(0, "ticket");
    const auto [first, count] = PagesFrom(arguments, 1);
    const Right want = arguments.Bool(3, "write") ? Right::kWrite : Right::kRead;
    if (!space_) ThrowType(info.Env(), "the memory is closed");
    service().With([&] { space_->Acquire(ticket, first, count, want, MemberService::Now()); });
    return info.Env().Undefined();
  }

  Napi::Value Release(const Napi::CallbackInfo& info) {
    const uint32_t ticket = Arguments(info).Uint32(0, "ticket");
    bool held = false;
    if (space_) service().With([&] { held = space_->Release(ticket, MemberService::Now()); });
    return Napi::Boolean::New(info.Env(), held);
  }

  Napi::Value Hint(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const auto [first, count] = PagesFrom(arguments, 0);
    const auto want = static_cast<Right>(arguments.Integer(2, "right", 0, 2));
    if (space_) service().With([&] { space_->Hint(first, count, want, MemberService::Now()); });
    return info.Env().Undefined();
  }

  Napi::Value Has(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const auto [first, count] = PagesFrom(arguments, 0);
    const Right want = arguments.Bool(2, "write") ? Right::kWrite : Right::kRead;
    bool has = true;
    if (space_) service().With([&] { has = space_->Has(first, count, want); });
    return Napi::Boolean::New(info.Env(), has);
  }

  Napi::Value Call(const Napi::CallbackInfo& info) {
    const Arguments arguments(info);
    const auto party = static_cast<uint64_t>(arguments.Integer(0, "party", 1, kMaxSafeInteger));
    const auto call = arguments.Bool(1, "ask") ? dsm::shared::kAskCall : dsm::shared::kWakeCall;
    if (space_) service().With([&] { space_->Call(call, party); });
    return info.Env().Undefined();
  }

  Napi::Value Flush(const Napi::CallbackInfo& info) { return Sync(info, dsm::SyncKind::kFlush); }
  Napi::Value Refresh(const Napi::CallbackInfo& info) { return Sync(info, dsm::SyncKind::kRefresh); }
  Napi::Value FlushSync(const Napi::CallbackInfo& info) { return SyncAndWait(info, dsm::SyncKind::kFlush); }
  Napi::Value RefreshSync(const Napi::CallbackInfo& info) {
    return SyncAndWait(info, dsm::SyncKind::kRefresh);
  }

  Napi::Value Counts(const Napi::CallbackInfo& info) {
    if (space_) service().With([&] { last_ = space_->counts(); });
    Napi::Object result = Napi::Object::New(info.Env());
    const auto set = [&](const char* name, uint64_t value) {
      result.Set(name, Napi::Number::New(info.Env(), static_cast<double>(value)));
    };
    set("readFaults", last_.read_faults);
    set("writeFaults", last_.write_faults);
    set("posted", last_.posted);
    set("mapped", last_.mapped);
    set("restricted", last_.restricted);
    set("failed", last_.failed);
    set("deferred", last_.deferred);
    set("forced", last_.forced);
    return result;
  }

  Napi::Value CloseMethod(const Napi::CallbackInfo& info) {
    Close();
    return info.Env().Undefined();
  }

 private:
  Napi::Value Sync(const Napi::CallbackInfo& info, dsm::SyncKind kind) {
    const uint32_t ticket = Arguments(info).Uint32(0, "ticket");
    if (!space_) ThrowType(info.Env(), "the memory is closed");
    const auto done = [reports = reports_, ticket](Outcome outcome) {
      const std::lock_guard lock(reports->mutex);
      reports->ended.push_back({ticket, outcome, -1});
      if (reports->async != nullptr) uv_async_send(reports->async);
    };
    service().With([&] { space_->Sync(kind, done, MemberService::Now()); });
    return info.Env().Undefined();
  }

  // The service's thread answers, at the latest when the space's patience has ended.
  Napi::Value SyncAndWait(const Napi::CallbackInfo& info, dsm::SyncKind kind) {
    struct Answer {
      std::mutex mutex;
      std::condition_variable ready;
      std::optional<Outcome> outcome;
    };
    const auto answer = std::make_shared<Answer>();
    const auto done = [answer](Outcome outcome) {
      const std::lock_guard lock(answer->mutex);
      answer->outcome = outcome;
      answer->ready.notify_one();
    };
    if (!space_) done(Outcome::kClosed);
    if (space_) service().With([&] { space_->Sync(kind, done, MemberService::Now()); });
    std::unique_lock lock(answer->mutex);
    answer->ready.wait(lock, [&] { return answer->outcome.has_value(); });
    return Napi::Number::New(info.Env(), static_cast<double>(*answer->outcome));
  }

  static MemberService& service() { return MemberService::Instance(); }

  static uint64_t PagesOf(uint64_t size, uint32_t shift) { return ((size - 1) >> shift) + 1; }

  std::pair<uint64_t, uint64_t> PagesFrom(const Arguments& arguments, size_t index) const {
    const uint64_t first = arguments.Size(index, "first");
    const uint64_t count = arguments.Size(index + 1, "count", 1);
    if (space_ && (first >= space_->shape().pages || count > space_->shape().pages - first))
      ThrowRange(arguments.env(), "no such pages");
    return {first, count};
  }

  static void OnAsync(uv_async_t* handle) { static_cast<SpreadMemory*>(handle->data)->Deliver(); }

  void Deliver() {
    std::vector<Ended> ended;
    std::vector<uint64_t> called;
    {
      const std::lock_guard lock(reports_->mutex);
      ended.swap(reports_->ended);
      called.swap(reports_->called);
    }
    // A callback may close this object.
    for (size_t i = 0; i < ended.size() && async_; i++) {
      const auto& [ticket, outcome, page] = ended[i];
      on_event_.Call({static_cast<double>(ticket), static_cast<double>(outcome), page});
    }
    // Of a party 46 bits matter: 6 for the node, 8 for the slot, 32 for the opening.
    for (size_t i = 0; i < called.size() && async_; i++)
      on_event_.Call({-1, static_cast<double>(called[i] & ((uint64_t{1} << 46) - 1)), -1});
  }

  AddonData& data_;
  LoopCallback on_event_;
  std::shared_ptr<Reports> reports_;
  UniqueFd file_;
  UniqueFd bell_;
  Pinned memory_;
  HeldDoorbell doorbell_;
  std::byte* base_ = nullptr;
  std::shared_ptr<Region> region_;
  Napi::ObjectReference mapping_;
  std::shared_ptr<dsm::MemberSpace> space_;
  dsm::MemberCounts last_;
  UvHandle<uv_async_t> async_;
};

}  // namespace

void DefineSpreadMemory(Napi::Env env, Napi::Object exports) {
  using W = Wrapped<SpreadMemory>;
  using S = SpreadMemory;
  exports.Set(
      "SpreadMemory",
      W::Define(env, {W::Getter<&S::MappingOf>("mapping"), W::Getter<&S::Shape>("shape"),
                      W::Getter<&S::EndedBy>("endedBy"),
                      W::Method<&S::Acquire>("acquire"), W::Method<&S::Release>("release"),
                      W::Method<&S::Hint>("hint"), W::Method<&S::Counts>("counts"), W::Method<&S::Has>("has"),
                      W::Method<&S::Call>("call"), W::Method<&S::Flush>("flush"),
                      W::Method<&S::Refresh>("refresh"), W::Method<&S::FlushSync>("flushSync"),
                      W::Method<&S::RefreshSync>("refreshSync"), W::Method<&S::CloseMethod>("close")}));
  Napi::Object abi = Napi::Object::New(env);
  for (const dsm::shared::AbiNumber& number : dsm::shared::kSpreadAbi)
    abi.Set(number.name, Napi::Number::New(env, static_cast<double>(number.value)));
  abi.Freeze();
  exports.Set("spreadAbi", abi);
}

}  // namespace ivshmem
