"""What the measurement was made on."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

PACKAGES = ["onnxruntime", "ai-edge-litert", "openvino", "opencv-python-headless", "fastapi",
            "uvicorn", "numpy"]
FLAGS = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm"]


def facts(sedge):
    cpuinfo = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = fields.get("flags", fields.get("Features", "")).split()
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    memory = Path("/proc/meminfo").read_text().split()[1]
    version = subprocess.run([sedge, "--version"], capture_output=True, text=True, check=True)
    commit = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*"],
                            capture_output=True, text=True)
    return {
        "cpu": fields.get("model name", "unknown"),
        "features": [flag for flag in FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "governor": governor.read_text().strip() if governor.exists() else None,
        "kernel": platform.release(),
        "memory_gib": round(int(memory) / 2**20, 1),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "sedge": version.stdout.split()[-1],
        "commit": commit.stdout.strip(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def is_busy(facts):
    return facts["load_average"] > 0.5 * facts["cores"]
