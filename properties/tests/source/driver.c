/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Plays a script on the source above it: a deed a line, and what it came to a line (`source/main.rs` has the deeds, and does the
 * same to the engine).
 */
#define MOST 8192

static struct net init_net;
static struct nf_conntrack_helper helpers[3];
static struct nf_conn *masters[MOST];
static struct nf_conntrack_expect *named[MOST];
static int expectations, connections;

/* Expectations are named in the order in which they are made. */
static void *kmem_cache_alloc(struct kmem_cache *cache, int how)
{
	struct nf_conntrack_expect *exp = calloc(1, sizeof(*exp));

	if (!exp || expectations == MOST)
		broken("no memory");
	named[expectations++] = exp;
	return exp;
}

static int name_of(struct nf_conntrack_expect *exp)
{
	int name = expectations;

	/* Memory is used again: of two that lay there, the younger is meant. */
	while (named[--name] != exp)
		;
	return name;
}

static void nf_ct_expect_event_report(int event, struct nf_conntrack_expect *exp, u32 portid, int report)
{
	printf(" %s%d", event == IPEXP_NEW ? "+" : "-", name_of(exp));
}

static u16 address(const char *text, union nf_inet_addr *addr)
{
	u16 family = strchr(text, ':') ? AF_INET6 : AF_INET;

	memset(addr, 0, sizeof(*addr));
	if (inet_pton(family, text, addr) != 1)
		broken(text);
	return family;
}

static struct nf_conntrack_expect *announced(char **word)
{
	union nf_inet_addr src, dst;
	__be16 sport = htons(atoi(word[5])), dport = htons(atoi(word[6]));
	struct nf_conntrack_expect *exp = nf_ct_expect_alloc(masters[atoi(word[0])]);
	u16 family = address(word[4], &dst);

	if (*word[3] != '*')
		address(word[3], &src);
	nf_ct_expect_init(exp, atoi(word[1]), family, *word[3] == '*' ? NULL : &src, &dst, atoi(word[2]),
			  *word[5] == '*' ? NULL : &sport, &dport);
	return exp;
}

static struct nf_conntrack_tuple tuple(char **word)
{
	struct nf_conntrack_tuple tuple;

	memset(&tuple, 0, sizeof(tuple));
	tuple.dst.protonum = atoi(word[0]);
	tuple.src.l3num = address(word[1], &tuple.src.u3);
	address(word[2], &tuple.dst.u3);
	tuple.src.u.all = htons(atoi(word[3]));
	tuple.dst.u.all = htons(atoi(word[4]));
	return tuple;
}

static void master(char **word)
{
	struct nf_conn *ct = calloc(1, sizeof(*ct));
	int helper = atoi(word[1]);

	refcount_set(&ct->ct_general.use, 1);
	ct->zone.id = atoi(word[0]);
	ct->ct_net = &init_net;
	ct->confirmed = atoi(word[2]);
	if (helper >= 0) {
		ct->help = calloc(1, sizeof(*ct->help));
		ct->help->helper = helper ? &helpers[helper] : NULL;
	}
	masters[connections++] = ct;
}

static void related(char **word)
{
	struct nf_conntrack_expect *exp = announced(word);
	bool kept = atoi(word[9]);

	exp->flags = atoi(word[7]);
#ifdef WITH_SKIP_MASTER
	printf(" %d", nf_ct_expect_related(exp, atoi(word[8]) ? NF_CT_EXP_F_SKIP_MASTER : 0));
#else
	printf(" %d", nf_ct_expect_related_report(exp, 0, 0));
#endif
	if (!kept)
		nf_ct_expect_put(exp);
}

static void find(char **word)
{
	struct nf_conntrack_zone zone = { .id = atoi(word[0]) };
	struct nf_conntrack_tuple of = tuple(word + 1);
	struct nf_conntrack_expect *exp = nf_ct_expect_find_get(&init_net, ZONE(zone), &of);

	if (exp) {
		printf(" %d", name_of(exp));
		nf_ct_expect_put(exp);
	}
}

static void match(char **word)
{
	struct nf_conntrack_zone zone = { .id = atoi(word[0]) };
	struct nf_conntrack_tuple of = tuple(word + 1);
#ifdef WITH_UNLINK
	struct nf_conntrack_expect *exp = nf_ct_find_expectation(&init_net, ZONE(zone), &of, atoi(word[6]));
#else
	struct nf_conntrack_expect *exp = nf_ct_find_expectation(&init_net, ZONE(zone), &of);
#endif

	if (exp) {
		printf(" %d", name_of(exp));
		exp->master->ct_general.use.count = 1;
		nf_ct_expect_put(exp);
	}
}

#ifdef WITH_PAIR
static void pair(char **word)
{
	struct nf_conntrack_expect *both[2];
	char next[8];

	both[0] = announced(word);
	snprintf(next, sizeof(next), "%d", atoi(word[6]) + 1);
	word[6] = next;
	both[1] = announced(word);
	printf(" %d", nf_ct_expect_related_pair(both, atoi(word[7]) ? NF_CT_EXP_F_SKIP_MASTER : 0));
	nf_ct_expect_put(both[0]);
	nf_ct_expect_put(both[1]);
}
#endif

static void list(struct nf_conn *ct)
{
	struct nf_conntrack_expect *exp;

	if (!ct->help)
		return;
	hlist_for_each_entry(exp, &ct->help->expectations, lnode)
		printf(" %d:%u", name_of(exp), exp->flags);
}

static unsigned int linked(void)
{
	return init_net.ct.expect_count + init_net.of_module.expect_count;
}

static void set_up(const struct hlist_head *bucket, unsigned int table, const unsigned int (*policies)[2])
{
	static struct nf_conntrack_expect_policy of[3][NF_CT_MAX_EXPECT_CLASSES];
	int class;

	init_net.ct.expect_hash = (struct hlist_head *)bucket;
#ifdef ONE_TABLE
	nf_ct_expect_hash = (struct hlist_head *)bucket;
#endif
	nf_ct_expect_hsize = 1;
	nf_ct_expect_max = table;
	for (class = 0; class < NF_CT_MAX_EXPECT_CLASSES; class++) {
		of[2][class].max_expected = policies[class + 1][0];
		of[2][class].timeout = policies[class + 1][1];
	}
	of[1][0].max_expected = policies[0][0];
	of[1][0].timeout = policies[0][1];
	helpers[1].expect_policy = of[1];
	helpers[2].expect_policy = of[2];
}

int main(int count, char **arguments)
{
	static struct hlist_head bucket;
	static const unsigned int policies[5][2] = POLICIES;
	char line[256], *word[16];

	set_up(&bucket, count > 1 ? atoi(arguments[1]) : 1, policies);
	while (fgets(line, sizeof(line), stdin)) {
		char *deed = strtok(line, " \n");
		int words = 0, seconds;

		while (words < 15 && (word[words] = strtok(NULL, " \n")))
			words++;
		printf("%s", deed);
		switch (*deed) {
		case 'm': master(word); break;
		case 'c': masters[atoi(word[0])]->confirmed = true; break;
		case 'd': masters[atoi(word[0])]->dying = true; break;
		case 'r': related(word); break;
		case 'u': nf_ct_unexpect_related(named[atoi(word[0])]); break;
		case 'p': nf_ct_expect_put(named[atoi(word[0])]); break;
		case 'f': find(word); break;
		case 'x': match(word); break;
		case 'e': nf_ct_remove_expectations(masters[atoi(word[0])]); break;
#ifdef WITH_PAIR
		case 'b': pair(word); break;
#endif
#ifdef WITH_GC
		case 'g': nf_ct_expectation_gc(masters[atoi(word[0])]->help); break;
#endif
		case 't':
			for (seconds = atoi(word[0]); seconds; seconds--)
				tick();
			break;
		case 'l': list(masters[atoi(word[0])]); break;
		case 's': printf(" %u %u %u", linked(), init_net.created, init_net.deleted); break;
		default: broken(deed);
		}
		printf("\n");
	}
	return 0;
}
