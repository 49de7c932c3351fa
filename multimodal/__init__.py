"""What is computed: media → embeddings, positions → Thinker → Talker → waveform. No asyncio, no sockets."""

from multimodal import torchvision_ops as torchvision_ops  # must run before anything imports transformers
