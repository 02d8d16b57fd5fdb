"""The names of a processor's capability words, as the kernel prints them in ``/proc/cpuinfo``.

In come the words that a program inside an emulated system read (:mod:`bench.devices.emulated.guest`): ``hwcap``,
AT_HWCAP of getauxval, on ARM; on x86, where the kernel tells no such word, the registers of CPUID by leaf, subleaf and
register, which the emulated instruction itself gave. Out come names, and what differs from a core's own list.
"""

from __future__ import annotations

from collections.abc import Mapping

from pulseproof.bench.devices.emulated.cores import Architecture, Core

# Bit by bit, the first bit first; "-" where the kernel prints nothing. Linux: arch/arm64 and arch/arm,
# include/uapi/asm/hwcap.h; arch/x86/include/asm/cpufeatures.h and Intel's manual, volume 2, CPUID.
NAMES: dict[Architecture, dict[str, str]] = {
    "arm64": {
        "hwcap": "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc "
        "dcpop sha3 sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg",
    },
    "armhf": {
        "hwcap": "swp half thumb 26bit fastmult fpa vfp edsp java iwmmxt crunch thumbee neon vfpv3 vfpv3d16 tls vfpv4 "
        "idiva idivt vfpd32 lpae evtstrm",
    },
    "amd64": {
        "1.0.edx": "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi "
        "mmx fxsr sse sse2 ss ht tm ia64 pbe",
        "1.0.ecx": "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca "
        "sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor",
        "7.0.ebx": "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f "
        "avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni "
        "avx512bw avx512vl",
        "7.0.ecx": "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg "
        "tme avx512_vpopcntdq",
        "7.1.eax": "- - - - avx_vnni avx512_bf16",
        "80000001.0.ecx": "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop "
        "skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext",
        "80000001.0.edx": "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm "
        "3dnowext 3dnow",
    },
}
SIGNATURE = "1.0.eax"  # family, model and stepping of an x86 core
NOT_EMULATED = {"evtstrm"}  # a timer of the kernel, no instruction
# What a core has and a board's cpuinfo may leave out, because no engine computes with it: the Raspberry Pi's A53 and
# A72 come without the instructions for cryptography.
UNUSED = {"aes", "pmull", "sha1", "sha2", "swp", "thumbee"}


def capabilities(architecture: Architecture, words: Mapping[str, int]) -> set[str]:
    """The names of the bits that are set in the capability words. Raises ``KeyError`` for a word that is missing."""
    return {
        name
        for word, names in NAMES[architecture].items()
        for bit, name in enumerate(names.split())
        if name != "-" and words[word] >> bit & 1
    }


def wrong_features(core: Core, words: Mapping[str, int]) -> list[str]:
    """The features that a core's cpuinfo has and the emulated core has not, or the other way round."""
    there, claimed = capabilities(core.architecture, words), set(core.features)
    unused = set() if core.architecture == "amd64" else UNUSED
    wrong = sorted((claimed - there - NOT_EMULATED) | (there - claimed - unused))
    if words.get(SIGNATURE, core.part) != core.part:
        wrong.append(f"signature {words[SIGNATURE]:#x}")
    return wrong
