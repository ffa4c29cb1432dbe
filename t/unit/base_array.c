/* Arrays that double: what they hold stays, and a size that no number can say is refused instead of wrapped. */
#include "base/array.h"

#include <stdlib.h>

#include "tap.h"

struct item {
	int64_t number, other;
};

static void test_growth(void)
{
	struct item *items = NULL;
	size_t capacity = 0;
	struct error err;
	int count = 0, right = 0;

	while (count < 1000 && ARRAY_RESERVE(&items, count, &capacity, &err) && capacity > (size_t) count) {
		items[count] = (struct item){.number = count};
		count++;
	}
	is_number(count, 1000, "there is room for one more, as often as it is asked for");
	for (int i = 0; i < count; i++)
		right += items[i].number == i;
	is_number(right, count, "and what was there is still there");
	is_number((int64_t) capacity, 1024, "the capacity doubles");
	free(items);
}

/* Of a capacity that is not true nothing is touched. */
static void test_refusal(size_t capacity, const char *name)
{
	struct item one = {.number = 1}, *items = &one;
	size_t before = capacity;
	struct error err = {0};

	ok(!ARRAY_RESERVE(&items, capacity, &capacity, &err) && err.kind == ERROR_SYSTEM, "%s is refused", name);
	is_text(err.text, "out of memory", "with the reason");
	ok(items == &one && capacity == before, "and nothing has changed");
}

int main(void)
{
	test_growth();
	test_refusal(SIZE_MAX / 2 + 1, "a number of items that wraps to none");
	test_refusal(SIZE_MAX / 2 / sizeof(struct item) + 1, "a size in bytes that wraps to few");
	return done_testing();
}
