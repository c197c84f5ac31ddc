// What the nodes of a space say to each other, and what a node tells its surroundings to do. A node is the
// server process of one host; docs/decisions/dsm-pages.md is the protocol.
#pragma once

#include <cstdint>
#include <vector>

namespace ivshmem::dsm {

using NodeId = uint8_t;
using PageId = uint64_t;
using NodeMask = uint64_t;

constexpr NodeId kMaxNodes = 64;

constexpr NodeMask Bit(NodeId node) { return NodeMask{1} << node; }

// What a node holds of a page (Invalid, Shared, Owned), and what its members' mappings allow.
enum class Right : uint8_t { kNone, kRead, kWrite };

enum class Failure : uint8_t {
  kNone,
  kLost,       // the only copy was in a host that is gone
  kFenced,     // this host lost its lease: it may be on the small side of a partition
  kPageRange,  // no such page in the space
};

enum class MessageType : uint8_t {
  kGet,          // requester -> home: `right` wanted
  kForward,      // home -> holder: send the page to `requester` with `right`
  kInvalidate,   // home -> holder: unmap and forget
  kInvalidated,  // holder -> home: done so
  kData,         // holder -> requester: the page's bytes, held with `right` from now on
  kGrant,        // home -> requester: the copy it has, held with `right` from now on
  kDone,         // requester -> home: data or grant has arrived; the next request may be served
  kFail,         // home -> requester: `failure`
  kEvict,        // holder -> home: unmapped here; may its frame be used for another page?
  kEvicted,      // home -> holder: it may; by now nothing is held
  kFlush,        // everybody -> everybody: nothing of an earlier epoch follows on this connection
  kReport,       // holder -> home, new epoch: a page held, and with which right
  kReportEnd,    // everybody -> everybody: no more reports
  kMerge,        // writer -> home, release consistency: what was written of a page
  kMerged,       // home -> writer: it is in the page now, and in all copies that are kept
  kOrdered,      // home -> writer that keeps a copy: it is in the page; not in what came before this
  kAdopt,        // keeper to be -> home: send a copy of the page, and from then on what is merged into it
  kReplicate,    // home -> keeper: what was written of a page by `requester`; version 0: all of it
  kReplicated,   // keeper -> home: it is in the copy now
  kKept,         // keeper -> everybody: it has all pages whose class is `page`, with what is merged into them
};

// How soon members of one host see what those of another have stored (docs/dsm-hosts.md).
enum class Consistency : uint8_t { kSequential, kRelease };

// What a member asks for besides pages: that everybody can see what was stored here, or that what others made
// visible is seen here from now on.
enum class SyncKind : uint8_t { kFlush, kRefresh };

// `version` counts the grants to write of a page: it is for people who look, nothing is decided by it. Of
// kMerge, kMerged, kOrdered, kReplicate and kReplicated it is the number of the difference, which with the
// writer names it. Of kFlush under release consistency `version` has a bit for each class of pages whose home
// the sender is, and `page` one for each of which it has everything (release.h).
struct Message {
  MessageType type = MessageType::kFlush;
  Right right = Right::kNone;
  Failure failure = Failure::kNone;
  NodeId requester = 0;
  uint64_t epoch = 0;
  uint64_t version = 0;
  PageId page = 0;
};

inline Message About(MessageType type, PageId page, Right right = Right::kNone) {
  Message message;
  message.type = type;
  message.page = page;
  message.right = right;
  return message;
}

// Which hosts take part, as their directory says. A node that is not in it any more has been fenced before.
struct View {
  uint64_t epoch = 1;
  NodeMask alive = 0;
};

enum class OutputType : uint8_t {
  kSend,      // `message` to node `to`, in order; a kData takes the frame's bytes along as they are now,
              // and a kMerge or a kReplicate what the page's last kDiff computed
  kInstall,   // the bytes that came with the message just given become the page's frame
  kMap,       // members may map the frame with `right`; wakes whoever waits for it
  kRestrict,  // members' mappings must not exceed `right`: Node::Restricted() when all have acknowledged
  kFree,      // the frame's bytes mean nothing any more
  kFail,      // faults that wait for the page end with `failure`
  kReject,    // node `to` broke the protocol: close its connection
  kTwin,      // keep a copy of the frame as it is now: nobody can write to it
  // Compute what the frame has that the copy has not, and say so to Diffed(), now or later. With `right`
  // kRead nobody can write any more, and the copy is not needed after that; else it becomes what was
  // compared.
  kDiff,
  // The bytes that came with the message just given go into the page's frame, and into its twin: what members
  // have written since stays, and so does what the last kDiff computed, unless that is ordered.
  kApply,
  kOrdered,     // what kDiff computed comes before whatever is applied from now on
  kPass,        // send `message`, a kReplicate, with the bytes that came with the message just given
  kCopy,        // send `message`, a kReplicate, with all of the page: its twin, if it has one
  kRoom,        // say Roomed() when the page has a frame, now or later; it is forgotten with the next view
  kForgetDiff,  // what kDiff computed is not sent again
  kSynced,      // what `page` names in Sync() is done, or ended with `failure`
};

struct Output {
  OutputType type = OutputType::kSend;
  Right right = Right::kNone;
  Failure failure = Failure::kNone;
  NodeId to = 0;
  PageId page = 0;
  Message message;
};

using Outputs = std::vector<Output>;

inline Output About(OutputType type, PageId page, Right right = Right::kNone) {
  Output output;
  output.type = type;
  output.page = page;
  output.right = right;
  return output;
}

inline Output Ends(OutputType type, PageId page, Failure failure) {
  Output output = About(type, page);
  output.failure = failure;
  return output;
}

// Where the directory entry of a page lives: dealt out to the `homes` hosts that formed the space; a dead
// one's pages go to the next that is alive.
constexpr NodeId HomeOf(PageId page, NodeId homes, NodeMask alive) {
  auto home = static_cast<NodeId>(page % homes);
  while (alive != 0 && (alive & Bit(home)) == 0) home = static_cast<NodeId>((home + 1) % kMaxNodes);
  return home;
}

}  // namespace ivshmem::dsm
