"""Random operations of the dynamic aggregates, within what Gnocchi answers without failing."""

ACROSS = ["mean", "median", "std", "min", "max", "sum", "var"]
AGAIN = ["mean", "median", "std", "min", "max", "sum", "count"]
COMPARISONS = ["=", "eq", "!=", "ne", "<", "lt", ">", "gt", "<=", "le", ">=", "ge"]
ARITHMETIC = ["+", "add", "-", "sub", "*", "mul", "/", "div", "%", "mod", "**", "pow", "max", "clip_min", "clip_max"]
ONE = ["abs", "absolute", "neg", "negative", "cos", "sin", "tan", "floor", "ceil"]
NUMBERS = [0, 1, 2, -1.5, 0.1, 3, 100, 1e6, "7"]
WRONG = [["nonsense", ["metric", "x", "mean"]], ["aggregate"], [], "(metric", ["metric"], ["resample", "mean", "never", 1],
         "metric", ["rolling", "mean", 0, ["metric", "x", "mean"]]]


def reference(random, names, methods):
    chosen = random.sample(names, random.choice([1, len(names), random.randint(1, len(names))]))
    if len(chosen) == 1 and random.random() < 0.5:
        return ["metric", chosen[0], random.choice(methods)]
    return ["metric"] + [[name, random.choice(methods)] for name in chosen]


def tree(random, depth, names, methods, pairs=True, truth=True):
    """An operation of at most `depth` levels. Gnocchi computes with the results of comparisons as numpy does with
    booleans, which refuse some arithmetic: so those stand only at the top (`truth`). Without `pairs` no operation takes the
    series of two others one by one."""
    if depth == 0:
        return reference(random, names, methods)

    def inner(most=depth - 1):
        return tree(random, most, names, methods, pairs, truth=False)

    rate = "rate:" if random.random() < 0.3 else ""
    kind = random.choice([kind for kind in range(9) if pairs or kind != 4])
    if kind == 0:
        return ["aggregate", rate + random.choice(ACROSS), inner()]
    if kind == 1:
        return ["rolling", rate + random.choice(ACROSS), random.choice([1, 2, 3, 5]), inner()]
    if kind == 2:
        return ["resample", rate + random.choice(AGAIN), random.choice([60, 120, 300, 3600]), inner()]
    if kind == 3:
        number = random.choice(NUMBERS)
        name = random.choice(ARITHMETIC + (COMPARISONS if truth else []))
        return [name, inner(), number] if random.random() < 0.7 else [name, number, inner()]
    if kind == 4:
        name = random.choice(ARITHMETIC + (COMPARISONS if truth else []))
        return [name, inner(), inner(random.randrange(depth))]
    if kind == 5:
        return [random.choice(ONE), inner()]
    if kind == 6:
        return [random.choice(["rateofchange", "rateofchangesec"]), inner()]
    if kind == 7:
        return ["clip", inner(), random.choice([-10, 0]), random.choice([1, 50.5])]
    return ["clip", inner(), random.choice([-10, 0, 3])]


def text(node):
    """The same as an s-expression."""
    if not isinstance(node, list):
        return str(node)
    return "(" + " ".join(text(item) for item in node) + ")"


def operations(random, names, methods, pairs=True):
    if random.random() < 0.04:
        return random.choice(WRONG)
    depth = random.choice([0, 1, 1, 2, 2, 3])
    if depth:
        # Their last bits differ (see `Equality`), and what is computed from them differs more.
        methods = [method for method in methods if not method.endswith("pct")]
    made = tree(random, depth, names, methods, pairs)
    return text(made) if random.random() < 0.25 else made
