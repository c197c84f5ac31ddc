/** Why a channel ended: `closed` by the peer, `died` with the peer, `closed-here`, or `broken` by a fault of the peer. */
export type ChannelEnd = 'closed' | 'died' | 'closed-here' | 'broken';
