#ifndef IVSHMEM_ADDON_DATA_H_
#define IVSHMEM_ADDON_DATA_H_

#include <napi.h>
#include <sys/types.h>
#include <uv.h>

#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "unique_fd.h"

namespace ivshmem {

class Region;

/** Something with uv handles or a thread that must be gone before the environment's loop is. */
class Closable {
 public:
  virtual ~Closable() = default;
  virtual void Close() = 0;
};

/** The bytes of one 8-byte message that came in fragments, and the descriptor that came with them. */
struct PartialMessage {
  ino_t inode = 0;
  size_t length = 0;
  std::array<unsigned char, 8> bytes{};
  UniqueFd fd;
};

/**
 * Everything this addon knows about one environment (the main thread or one worker).
 *
 * Order at exit: Node runs the hooks of the external ArrayBuffers first (they were registered last), so a
 * LoopWaiter pins its memory itself; then OnExit() here closes waiters, watches and threads in reverse
 * order of creation; the environment then runs its loop until every uv_close callback was seen; then the
 * finalizers of the wrapped objects run, and this object last.
 */
class AddonData {
 public:
  explicit AddonData(napi_env env);
  AddonData(const AddonData&) = delete;
  AddonData& operator=(const AddonData&) = delete;

  static AddonData& From(Napi::Env env);

  uv_loop_t* loop() const { return loop_; }

  void Add(Closable* closable) { closables_.push_back(closable); }
  void Remove(Closable* closable) { std::erase(closables_, closable); }

  void HandleOpened() { ++open_handles_; }
  /** From a uv_close callback. */
  void HandleClosed();

  /** The mapping that holds `address`, or null: memory that is not ours. */
  std::shared_ptr<Region> FindRegion(const void* address);
  void AddRegion(const std::shared_ptr<Region>& region);

  /** Constructor of Mapping and the memory its next call takes over; the constructor throws when there is
   * none. */
  Napi::FunctionReference mapping_constructor;
  std::shared_ptr<Region> region_to_wrap;

  std::unordered_map<int, PartialMessage> partial_messages;

 private:
  static void OnExit(napi_async_cleanup_hook_handle handle, void* data);

  uv_loop_t* loop_ = nullptr;
  std::vector<Closable*> closables_;
  std::vector<std::weak_ptr<Region>> regions_;
  size_t open_handles_ = 0;
  bool exiting_ = false;
  napi_async_cleanup_hook_handle exit_hook_ = nullptr;
};

}  // namespace ivshmem

#endif  // IVSHMEM_ADDON_DATA_H_
