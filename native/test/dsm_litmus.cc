// Sequential consistency over hosts: the litmus tests, and random accesses whose whole history is checked.
//
// dsm_litmus [SEED [ROUNDS [OPERATIONS]]]
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <unordered_map>

#include "dsm_cluster.h"

extern "C" const char* __asan_default_options();
extern "C" const char* __tsan_default_options();
const char* __asan_default_options() { return "handle_segv=0:allow_user_segv_handler=1"; }
const char* __tsan_default_options() { return "handle_segv=0:allow_user_segv_handler=1"; }

namespace ivshmem::dsm::test {

namespace {

using Word = std::atomic<uint64_t>;

constexpr NodeId kHosts = 3;
constexpr size_t kPlaces = kHosts * kMembers;
constexpr size_t kWordsOfPage = kPageBytes / sizeof(Word);

Word* At(const Cluster& cluster, size_t place, size_t page, size_t word) {
  char* base = cluster.hosts[place / kMembers]->member(place % kMembers);
  return reinterpret_cast<Word*>(base + page * kPageBytes) + word;
}

// What one thread of a litmus test does; x and y lie in different pages.
using Part = std::function<void(Word* x, Word* y, uint64_t* result)>;

struct Litmus {
  const char* name;
  std::vector<Part> parts;
  std::vector<uint64_t> forbidden;  // the results, in order of the parts
};

std::vector<Litmus> Tests() {
  const Part write_x = [](Word* x, Word*, uint64_t*) { x->store(1); };
  const Part write_y = [](Word*, Word* y, uint64_t*) { y->store(1); };
  const Part read_xy = [](Word* x, Word* y, uint64_t* r) { r[0] = x->load(), r[1] = y->load(); };
  const Part read_yx = [](Word* x, Word* y, uint64_t* r) { r[0] = y->load(), r[1] = x->load(); };
  return {
      {"store buffering",
       {[](Word* x, Word* y, uint64_t* r) { x->store(1), r[0] = y->load(), r[1] = 7; },
        [](Word* x, Word* y, uint64_t* r) { y->store(1), r[0] = x->load(), r[1] = 7; }},
       {0, 7, 0, 7}},
      {"message passing",
       {[](Word* x, Word* y, uint64_t*) {
          x->store(1, std::memory_order_relaxed);
          y->store(1, std::memory_order_release);
        },
        [](Word* x, Word* y, uint64_t* r) {
          r[0] = y->load(std::memory_order_acquire);
          r[1] = x->load(std::memory_order_relaxed);
        }},
       {0, 0, 1, 0}},
      {"IRIW", {write_x, write_y, read_xy, read_yx}, {0, 0, 0, 0, 1, 0, 1, 0}},
      {"coherence",
       {write_x, [](Word* x, Word*, uint64_t* r) { r[0] = x->load(), r[1] = x->load(); }},
       {0, 0, 1, 0}},
  };
}

// Each round on words of its own, all zero before; threads on hosts by chance, co-resident ones too.
bool Run(const Litmus& litmus, unsigned seed, size_t rounds) {
  std::mt19937 random(seed);
  Cluster cluster(kHosts, 2 * (rounds / kWordsOfPage + 1), seed);
  const size_t count = litmus.parts.size();
  std::vector<std::vector<size_t>> places(rounds, std::vector<size_t>(count));
  for (auto& round : places) {
    for (size_t& place : round) place = random() % kPlaces;
  }
  std::vector<std::vector<uint64_t>> results(rounds, std::vector<uint64_t>(2 * count));
  std::barrier meeting(static_cast<std::ptrdiff_t>(count));  // no part of what is tested
  std::vector<std::thread> threads;
  for (size_t part = 0; part < count; part++) {
    threads.emplace_back([&, part] {
      for (size_t round = 0; round < rounds; round++) {
        const size_t page = 2 * (round / kWordsOfPage);
        Word* x = At(cluster, places[round][part], page, round % kWordsOfPage);
        Word* y = At(cluster, places[round][part], page + 1, round % kWordsOfPage);
        meeting.arrive_and_wait();
        litmus.parts[part](x, y, &results[round][2 * part]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::unordered_map<std::string, size_t> outcomes;
  size_t forbidden = 0;
  for (const auto& result : results) {
    std::string key;
    for (const uint64_t value : result) key += static_cast<char>('0' + value);
    outcomes[key]++;
    forbidden += result == litmus.forbidden;
  }
  std::printf("%-16s %zu rounds, %zu outcomes seen, %zu forbidden; %llu messages, %llu pages moved\n",
              litmus.name, rounds, outcomes.size(), forbidden,
              static_cast<unsigned long long>(cluster.messages),
              static_cast<unsigned long long>(cluster.transfers));
  return forbidden == 0 && cluster.rejected == 0 && cluster.failed == 0;
}

// A write is an exchange: what it returns is the write before it, so that the order of each word's writes is
// known and nothing has to be guessed.
struct Operation {
  size_t word;
  uint64_t read;     // the value found
  uint64_t written;  // unique; 0: a load
};

using History = std::vector<std::vector<Operation>>;

// Is there one order of all operations that every thread's order agrees with, in which each finds the last
// value written? Exactly if program order, the writes' order, and read-before-overwritten have no cycle.
const char* Inconsistent(const History& history, size_t words) {
  struct Place {
    size_t writer = SIZE_MAX, overwriter = SIZE_MAX;
    std::vector<size_t> readers;
  };
  std::unordered_map<uint64_t, Place> values;  // the first value of word w is w + 1
  for (size_t word = 0; word < words; word++) values[word + 1] = {};
  std::vector<const Operation*> operations;
  std::vector<std::vector<size_t>> next;
  for (const auto& thread : history) {
    for (size_t i = 0; i < thread.size(); i++) {
      const size_t id = operations.size();
      operations.push_back(&thread[i]);
      next.emplace_back();
      if (i > 0) next[id - 1].push_back(id);
      if (thread[i].written != 0) values[thread[i].written].writer = id;
    }
  }
  for (size_t id = 0; id < operations.size(); id++) {
    const auto found = values.find(operations[id]->read);
    if (found == values.end()) return "a value that nobody wrote";
    Place& value = found->second;
    if (value.writer == SIZE_MAX && operations[id]->read != operations[id]->word + 1)
      return "another word's value";
    if (value.writer != SIZE_MAX) {
      if (operations[value.writer]->word != operations[id]->word) return "another word's value";
      next[value.writer].push_back(id);
    }
    if (operations[id]->written == 0) {
      value.readers.push_back(id);
    } else if (value.overwriter != SIZE_MAX) {
      return "a lost write";
    } else {
      value.overwriter = id;
    }
  }
  for (const auto& [number, value] : values) {
    if (value.overwriter == SIZE_MAX) continue;
    for (const size_t reader : value.readers) next[reader].push_back(value.overwriter);
  }
  std::vector<size_t> before(operations.size(), 0);
  for (const auto& list : next) {
    for (const size_t id : list) before[id]++;
  }
  std::vector<size_t> ready;
  for (size_t id = 0; id < before.size(); id++) {
    if (before[id] == 0) ready.push_back(id);
  }
  size_t ordered = 0;
  for (; !ready.empty(); ordered++) {
    const size_t id = ready.back();
    ready.pop_back();
    for (const size_t after : next[id]) {
      if (--before[after] == 0) ready.push_back(after);
    }
  }
  return ordered == operations.size() ? nullptr : "no order of all operations exists";
}

// The checker itself: histories that are and are not sequentially consistent.
bool CheckerWorks() {
  const History good{{{0, 1, 10}, {1, 2, 0}}, {{1, 2, 11}, {0, 10, 0}}};
  const History buffered{{{0, 1, 10}, {1, 2, 0}}, {{1, 2, 11}, {0, 1, 0}}};
  const History lost{{{0, 1, 10}}, {{0, 1, 11}}};
  const History back{{{0, 1, 10}}, {{0, 10, 0}, {0, 1, 0}}};
  return Inconsistent(good, 2) == nullptr && Inconsistent(buffered, 2) != nullptr &&
         Inconsistent(lost, 1) != nullptr && Inconsistent(back, 1) != nullptr;
}

bool Stress(unsigned seed, size_t count) {
  constexpr size_t kPages = 5, kWords = 2 * kPages;  // two words a page: false sharing too
  Cluster cluster(kHosts, kPages, seed);
  const auto at = [&](size_t place, size_t word) { return At(cluster, place, word / 2, word % 2 * 100); };
  for (size_t word = 0; word < kWords; word++) at(word % kPlaces, word)->store(word + 1);
  History history(kPlaces);
  std::barrier meeting(static_cast<std::ptrdiff_t>(kPlaces));
  std::vector<std::thread> threads;
  for (size_t place = 0; place < kPlaces; place++) {
    threads.emplace_back([&, place] {
      std::mt19937 random(seed * 977 + static_cast<unsigned>(place));
      meeting.arrive_and_wait();
      for (size_t i = 0; i < count; i++) {
        const size_t word = random() % kWords;
        const uint64_t written = random() % 3 == 0 ? 1000 + i * kPlaces + place : 0;
        Word* target = at(place, word);
        history[place].push_back({word, written != 0 ? target->exchange(written) : target->load(), written});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t faults = 0;
  for (const auto& host : cluster.hosts) faults += host->faults;
  const char* wrong = Inconsistent(history, kWords);
  std::printf("stress           %zu operations, %llu faults, %llu messages, %llu pages moved: %s\n",
              count * kPlaces, static_cast<unsigned long long>(faults),
              static_cast<unsigned long long>(cluster.messages),
              static_cast<unsigned long long>(cluster.transfers), wrong == nullptr ? "consistent" : wrong);
  return wrong == nullptr && cluster.rejected == 0 && cluster.failed == 0;
}

}  // namespace

int Main(int argc, char** argv) {
  const auto number = [&](int at, unsigned fallback) {
    return argc > at ? static_cast<unsigned>(std::strtoul(argv[at], nullptr, 10)) : fallback;
  };
  const unsigned seed = number(1, 1);
  const size_t rounds = number(2, 100);
  bool good = CheckerWorks();
  if (!good) std::printf("the checker of histories does not work\n");
  for (const Litmus& litmus : Tests()) good &= Run(litmus, seed, rounds);
  good &= Stress(seed, number(3, 500));
  return good ? 0 : 1;
}

}  // namespace ivshmem::dsm::test

int main(int argc, char** argv) { return ivshmem::dsm::test::Main(argc, argv); }
