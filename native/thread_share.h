#ifndef IVSHMEM_THREAD_SHARE_H_
#define IVSHMEM_THREAD_SHARE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "mapping.h"
#include "pinned.h"
#include "unique_fd.h"

namespace ivshmem {

constexpr size_t kTokenLimit = 64;
/** Slots and the seats of threads beyond them. */
constexpr double kMostSeats = 255;

/**
 * What the threads of this process that use one open space have in common, whichever environment (the main
 * thread, a worker) they are. The opener makes it and closes it; threads find it by its token.
 */
struct SharedAmongThreads {
  std::mutex mutex;
  bool closed = false;
  /** What the space is mapped from. */
  UniqueFd file;
  /** The member's own doorbell, which the opener's loop drains; none on a device without interrupts. */
  UniqueFd bell;
  /** Wakes the opener's loop. */
  UniqueFd home;
  /** Threads that are gone since the opener asked. */
  uint32_t ended = 0;
  std::unordered_map<uint32_t, HeldDoorbell> doorbells;
  /** Seat -> the eventfd of its thread, which takes it out before it closes it. */
  std::unordered_map<uint32_t, int> seats;
  /** What threads have mapped: shows zeros when the opener closes the space. */
  std::vector<std::weak_ptr<Region>> mapped;

  /** Nobody has that seat: nothing. */
  void Wake(uint32_t seat);
};

/** Null: no such token, or closed. */
std::shared_ptr<SharedAmongThreads> FindShared(const std::string& token);

/** False when the token is taken. */
bool AddShared(const std::string& token, const std::shared_ptr<SharedAmongThreads>& shared);

void RemoveShared(const std::string& token);

/** Adds 1 to an eventfd of this process. */
void Signal(int fd);

}  // namespace ivshmem

#endif  // IVSHMEM_THREAD_SHARE_H_
