"""Compile pixelcnn_edu/live/engine.c to WebAssembly, and write it as base64 into engine_wasm.js beside it.

usage: live_wasm.py

Needs clang and wasm-ld of one version (Debian: apt-get install clang lld).
"""

import base64
import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

LIVE = Path(__file__).resolve().parent.parent / "pixelcnn_edu" / "live"
SCRIPT = LIVE / "engine_wasm.js"
# Two commands, because clang's driver, where it finds Binaryen's wasm-opt, runs it without SIMD.
COMPILE = "clang --target=wasm32 -O3 -msimd128 -mbulk-memory -fno-builtin -Wall -Werror -c engine.c -o engine.o"
LINK = "wasm-ld --no-entry --strip-all -z stack-size=16384 engine.o -o engine.wasm"


def compiler():
    """The compiler's version in one line, None where it or the linker is missing."""
    if not (shutil.which("clang") and shutil.which("wasm-ld")):
        return None
    return subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def compiled():
    """The module as bytes, from the source as it is. Raises CalledProcessError where it does not compile."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(LIVE / "engine.c", folder)
        for command in (COMPILE, LINK):
            subprocess.run(command.split(), cwd=folder, check=True)
        return (Path(folder) / "engine.wasm").read_bytes()


def script(module, version):
    """The script that holds the module, and says what it is made of."""
    return (
        f"// engine.c, compiled by tools/live_wasm.py with {version}:\n"
        f"//   {COMPILE}\n//   {LINK}\n"
        f"// sha256 of the module: {hashlib.sha256(module).hexdigest()}\n"
        f"// sha256 of engine.c: {hashlib.sha256((LIVE / 'engine.c').read_bytes()).hexdigest()}\n"
        f'const WASM = "{base64.b64encode(module).decode()}";\n'
    )


def stored():
    """What the script holds: the module, the compiler's version, and the two sums that it names."""
    text = SCRIPT.read_text(encoding="utf-8")
    module = base64.b64decode(re.search('WASM = "(.*)"', text)[1])
    version, *sums = re.findall(r"with (.*):$|sha256 of .*: (\w+)", text, re.MULTILINE)
    return module, version[0], [found[1] for found in sums]


def main():
    module = compiled()
    SCRIPT.write_text(script(module, compiler()), encoding="utf-8")
    print(f"{SCRIPT}: a module of {len(module):,} bytes")


if __name__ == "__main__":
    main()
