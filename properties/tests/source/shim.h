/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What nf_conntrack_expect.c asks of a kernel, on one CPU of a process: locks vanish, RCU frees at once, there is one bucket. Which
 * of the kernel's interfaces a source knows, the compiler is told (`source/main.rs`).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8, __u8, u_int8_t;
typedef uint16_t u16, __u16, u_int16_t, __be16;
typedef uint32_t u32, __u32, u_int32_t, __be32;
typedef uint64_t u64;
typedef int32_t s32, __s32;

#define __read_mostly
#define __rcu
#define __force
#define __aligned(bytes)
#define EXPORT_SYMBOL_GPL(symbol)
#define IS_ENABLED(option) 0
#define likely(condition) (condition)
#define unlikely(condition) (condition)
#define READ_ONCE(place) (place)
#define WRITE_ONCE(place, value) ((place) = (value))
#define rcu_dereference(pointer) (pointer)
#define rcu_dereference_raw(pointer) (pointer)
#define rcu_dereference_protected(pointer, held) (pointer)
#define rcu_assign_pointer(place, value) ((place) = (value))
#define RCU_INIT_POINTER(place, value) ((place) = (value))
#define rcu_read_lock() ((void)0)
#define rcu_read_unlock() ((void)0)
#define spin_lock_bh(lock) ((void)0)
#define spin_unlock_bh(lock) ((void)0)
#define lockdep_is_held(lock) 1
#define lockdep_assert_held(lock) ((void)0)
#define lockdep_nfct_expect_lock_held() ((void)0)
#define net_warn_ratelimited(...) ((void)0)
#define pr_debug(...) ((void)0)
#define GFP_ATOMIC 0
#define HZ 1

static void broken(const char *what)
{
	printf(" BROKEN: %s\n", what);
	exit(1);
}
#define NF_CT_ASSERT(condition) ((condition) ? (void)0 : broken(#condition))
#define WARN_ON(condition) ((condition) ? broken(#condition), true : false)
#define WARN_ON_ONCE WARN_ON
#define DEBUG_NET_WARN_ON_ONCE WARN_ON
#define BUG_ON WARN_ON

/* Hashes: one bucket. */
typedef struct { u64 key[2]; } siphash_aligned_key_t;
typedef siphash_aligned_key_t siphash_key_t;
#define SIPHASH_ALIGNMENT 8
#define siphash(...) 0
#define jhash2(...) 0
#define net_hash_mix(net) 0
#define reciprocal_scale(hash, buckets) 0
#define get_random_once(...) ((void)0)
#define init_nf_conntrack_hash_rnd() ((void)0)
static __attribute__((unused)) unsigned int nf_conntrack_hash_rnd = 1;

/* Time, in seconds; it begins just before a 32-bit count wraps. */
static u32 now = (u32)-300;
#define jiffies ((unsigned long)now)
#define nfct_time_stamp now
#define time_after(a, b) ((long)((b) - (a)) < 0)

/* Counts of references. */
typedef struct { int count; } refcount_t;
typedef refcount_t atomic_t;

static inline void refcount_set(refcount_t *of, int count) { of->count = count; }
static inline void refcount_add(int more, refcount_t *of) { of->count += more; }
static inline void refcount_inc(refcount_t *of) { of->count++; }

static inline bool refcount_inc_not_zero(refcount_t *of)
{
	if (!of->count)
		return false;
	of->count++;
	return true;
}

static inline bool refcount_dec_and_test(refcount_t *of)
{
	if (of->count <= 0)
		broken("a reference too few");
	return --of->count == 0;
}
#define atomic_set refcount_set
#define atomic_add refcount_add
#define atomic_inc refcount_inc
#define atomic_inc_not_zero refcount_inc_not_zero
#define atomic_dec_and_test refcount_dec_and_test

/* Lists. */
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };

static inline bool hlist_empty(const struct hlist_head *head) { return !head->first; }

static inline void hlist_del_rcu(struct hlist_node *node)
{
	if (!node->pprev)
		broken("deleted twice");
	*node->pprev = node->next;
	if (node->next)
		node->next->pprev = node->pprev;
	node->pprev = NULL;
}

static inline void hlist_add_head_rcu(struct hlist_node *node, struct hlist_head *head)
{
	node->next = head->first;
	node->pprev = &head->first;
	if (node->next)
		node->next->pprev = &node->next;
	head->first = node;
}
#define hlist_del hlist_del_rcu
#define hlist_add_head hlist_add_head_rcu
#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#define entry_of(node, at, member) ((node) ? container_of(node, __typeof__(*(at)), member) : NULL)
#define hlist_for_each_entry_rcu(at, head, member)				\
	for (at = entry_of((head)->first, at, member); at;			\
	     at = entry_of((at)->member.next, at, member))
#define hlist_for_each_entry hlist_for_each_entry_rcu
#define hlist_for_each_entry_safe(at, behind, head, member)			\
	for (at = entry_of((head)->first, at, member);				\
	     at && (behind = (void *)(at)->member.next, 1);			\
	     at = entry_of((struct hlist_node *)behind, at, member))

/* Memory. */
struct rcu_head { char nothing; };
struct kmem_cache;
#define call_rcu(head, freed) (freed)(head)
#define kmem_cache_free(cache, object) free(object)

/* Timers: those that fire in one second do so in the order in which they were set, or the other way round. */
struct timer_list {
	struct timer_list *link;
	unsigned long expires, data, number;
	void (*function)();
	bool pending;
};

static struct timer_list *timers;

static inline void setup_timer(struct timer_list *timer, void (*function)(unsigned long), unsigned long data)
{
	timer->function = (void (*)())function;
	timer->data = data;
	timer->pending = false;
}
#define timer_setup(timer, function, flags) setup_timer(timer, (void (*)(unsigned long))(function), (unsigned long)(timer))
#define from_timer(of, timer, member) container_of(timer, __typeof__(*(of)), member)
#define timer_container_of from_timer

static inline void add_timer(struct timer_list *timer)
{
	static unsigned long number;

	timer->number = ++number;
	timer->pending = true;
	timer->link = timers;
	timers = timer;
}

static inline int timer_delete(struct timer_list *timer)
{
	struct timer_list **place = &timers;

	if (!timer->pending)
		return 0;
	while (*place != timer)
		place = &(*place)->link;
	*place = timer->link;
	timer->pending = false;
	return 1;
}
#define del_timer timer_delete
#define timer_pending(timer) ((timer)->pending)

#ifndef LATE
#define LATE 0
#endif

/* Lets a second pass. */
static inline void tick(void)
{
	struct timer_list *timer, *first;

	now++;
	do {
		first = NULL;
		for (timer = timers; timer; timer = timer->link) {
			if ((s32)((u32)timer->expires + LATE - now) > 0)
				continue;
			if (!first || (LATE ? timer->number > first->number : timer->number < first->number))
				first = timer;
		}
		if (first && timer_delete(first))
			first->function(first->data);
	} while (first);
}

/* Tuples. */
union nf_inet_addr { u32 all[4]; __be32 ip, ip6[4]; };
union nf_conntrack_man_proto { __be16 all; };
#define NF_CT_TUPLE_L3SIZE 4
struct nf_conntrack_tuple {
	struct { union nf_inet_addr u3; union nf_conntrack_man_proto u; u16 l3num; } src;
	struct { union nf_inet_addr u3; union nf_conntrack_man_proto u; u8 protonum, dir; } dst;
};
struct nf_conntrack_tuple_mask {
	struct { union nf_inet_addr u3; union nf_conntrack_man_proto u; } src;
};
enum ip_conntrack_dir { IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY, IP_CT_DIR_MAX };

static inline bool nf_ct_tuple_mask_cmp(const struct nf_conntrack_tuple *a, const struct nf_conntrack_tuple *b,
					const struct nf_conntrack_tuple_mask *mask)
{
	u32 differ = (a->src.u.all ^ b->src.u.all) & mask->src.u.all;
	int word;

	for (word = 0; word < NF_CT_TUPLE_L3SIZE; word++) {
		differ |= (a->src.u3.all[word] ^ b->src.u3.all[word]) & mask->src.u3.all[word];
		differ |= a->dst.u3.all[word] ^ b->dst.u3.all[word];
	}
	differ |= (a->dst.u.all ^ b->dst.u.all) | (a->dst.protonum ^ b->dst.protonum) | (a->src.l3num ^ b->src.l3num);
	return !differ;
}

static inline bool nf_ct_tuple_equal(const struct nf_conntrack_tuple *a, const struct nf_conntrack_tuple *b)
{
	struct nf_conntrack_tuple_mask all;

	memset(&all, 0xff, sizeof(all));
	return nf_ct_tuple_mask_cmp(a, b, &all);
}

static inline bool nf_ct_tuple_mask_equal(const struct nf_conntrack_tuple_mask *a, const struct nf_conntrack_tuple_mask *b)
{
	return !memcmp(&a->src.u3, &b->src.u3, sizeof(a->src.u3)) && a->src.u.all == b->src.u.all;
}

/* Namespaces, zones, connections, helpers. */
struct nf_conntrack_net { unsigned int expect_count; };
struct net {
	struct nf_conntrack_net of_module;
	struct { unsigned int expect_count; struct hlist_head *expect_hash; } ct;
	unsigned int created, deleted;
};
typedef struct net *possible_net_t;
#define read_pnet(place) (*(place))
#define write_pnet(place, net) (*(place) = (net))
#define net_eq(a, b) ((a) == (b))
#define nf_ct_pernet(net) (&(net)->of_module)
#define NF_CT_STAT_INC(net, counter) counted_##counter(net)
#define counted_expect_create(net) ((net)->created++)
#define counted_expect_delete(net) ((net)->deleted++)
#define CONFIG_NF_CONNTRACK_ZONES 1

struct nf_conntrack_zone { u16 id; u8 flags, dir; };
#define NF_CT_MAX_EXPECT_CLASSES 4
struct nf_conntrack_helper;
struct nf_conn_help {
	struct nf_conntrack_helper *helper;
	struct hlist_head expectations;
	u8 expecting[NF_CT_MAX_EXPECT_CLASSES];
};
struct nf_conn {
	struct { refcount_t use; } ct_general;
	struct { struct nf_conntrack_tuple tuple; } tuplehash[IP_CT_DIR_MAX];
	struct nf_conntrack_zone zone;
	struct net *ct_net;
	struct nf_conn_help *help;
	bool confirmed, dying;
};
#define nfct_help(ct) ((ct)->help)
#define nf_ct_net(ct) ((ct)->ct_net)
#define nf_ct_put(ct) ((void)refcount_dec_and_test(&(ct)->ct_general.use))
#define nf_ct_is_confirmed(ct) ((ct)->confirmed)
#define nf_ct_is_dying(ct) ((ct)->dying)
#ifdef ZONES_ARE_OBJECTS
#define nf_ct_zone(ct) ((const struct nf_conntrack_zone *)&(ct)->zone)
#define nf_ct_zone_equal_any(ct, other) ((ct)->zone.id == (other)->id)
#define ZONE(zone) (&(zone))
#else
#define nf_ct_zone(ct) ((ct)->zone.id)
#define ZONE(zone) ((zone).id)
#endif

/* Flags and events, as netlink numbers them. */
#define NF_CT_EXPECT_PERMANENT 1
#define NF_CT_EXPECT_INACTIVE 2
#define NF_CT_EXPECT_USERSPACE 4
#define NF_CT_EXPECT_DEAD 8
enum ip_conntrack_expect_events { IPEXP_NEW, IPEXP_DESTROY };

struct nf_conntrack_expect;
static void *kmem_cache_alloc(struct kmem_cache *cache, int how);
#define kmem_cache_zalloc kmem_cache_alloc
static void nf_ct_expect_event_report(int event, struct nf_conntrack_expect *exp, u32 portid, int report);

#ifndef HEADER
/* For a source without its header: what v3.9 keeps of an expectation. */
struct nf_conntrack_expect {
	struct hlist_node hnode, lnode;
	struct nf_conntrack_tuple tuple;
	struct nf_conntrack_tuple_mask mask;
	unsigned int flags, class;
	struct nf_conn *master;
	struct nf_conntrack_helper *helper;
	void (*expectfn)(struct nf_conn *new, struct nf_conntrack_expect *this);
	struct timer_list timeout;
	atomic_t use;
	struct rcu_head rcu;
};
struct nf_conntrack_expect_policy { unsigned int max_expected, timeout; char name[16]; };
#define nf_ct_exp_net(exp) nf_ct_net((exp)->master)
void nf_ct_unlink_expect_report(struct nf_conntrack_expect *exp, u32 portid, int report);
#define nf_ct_unlink_expect(exp) nf_ct_unlink_expect_report(exp, 0, 0)
void nf_ct_expect_put(struct nf_conntrack_expect *exp);
#endif
