# Tells what is wrong with the syntax of the files that are its arguments, without running them, and which interpreter this
# is, as JSON.
import json
import sys
import warnings

warnings.simplefilter("ignore")
wrong = []
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as f:
            source = f.read()
        compile(source, path, "exec", dont_inherit=True)
    except SyntaxError as e:
        line = e.text or ""
        column = len(line[: e.offset - 1].encode()) + 1 if e.offset and e.offset > 0 else 0
        wrong.append({"file": path, "line": e.lineno or 0, "column": column, "message": f"{type(e).__name__}: {e.msg}"})
    except (OSError, ValueError, RecursionError, MemoryError, OverflowError) as e:
        wrong.append({"file": path, "line": 0, "column": 0, "message": f"{type(e).__name__}: {e}"})
json.dump({"interpreter": sys.executable, "wrong": wrong}, sys.stdout)
