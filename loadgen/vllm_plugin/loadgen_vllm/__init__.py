"""Loadgen's plug-in for vLLM: imported by vLLM's own Python, which has nothing of loadgen's dependencies.

The folder above is put on PYTHONPATH of a server whose profile has `plugins`. vLLM finds `entry.load` by the entry point
`vllm.general_plugins` in the neighbouring dist-info and calls it in each of its processes.
"""
