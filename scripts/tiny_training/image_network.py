"""A network that reads pictures: the encoder and the Q-Former of transformers' BLIP-2 before a language model of `network`."""

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerModel, Blip2VisionModel

from tiny_training.network import Body, Network, Routing

_FIRST_SPREAD = 0.5  # of queries and places, which have no inputs


class ImageNetwork(nn.Module):
    """Logits of the text, float32 of shape (batch, tokens, vocabulary), for ids (batch, tokens) and pixels (batch, 3, side, side).

    Parameters have the names and shapes of transformers' Blip2ForConditionalGeneration.
    """

    def __init__(self, config: PretrainedConfig, *, router_spread: float, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.places_before: int = config.num_query_tokens
        inner = config.qformer_config.hidden_size
        self.query_tokens = nn.Parameter(torch.empty(1, self.places_before, inner))
        self.vision_model = Blip2VisionModel(config.vision_config)
        self.qformer = Blip2QFormerModel(config.qformer_config)
        self.language_projection = nn.Linear(inner, config.text_config.hidden_size)
        self._begin(generator)
        self.language_model = Network(config.text_config, router_spread=router_spread, generator=generator)

    @property
    def model(self) -> Body:
        """The language model's layers."""
        return self.language_model.model

    def forward(self, tokens: Tensor, routing: Routing, pixels: Tensor) -> Tensor:
        seen = self.vision_model(pixel_values=pixels).last_hidden_state
        queries = self.query_tokens.expand(len(pixels), -1, -1)
        asked = self.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        x = self.model(tokens, routing, self.language_projection(asked))
        return self.language_model.lm_head(x[:, self.places_before :]).float()

    @torch.no_grad()
    def _begin(self, generator: torch.Generator) -> None:
        """First weights of all but the language model: normal, by the number of inputs."""
        for name, weight in self.named_parameters():
            if weight.dim() == 1:
                weight.fill_(1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0)
            else:
                is_given = ("embedding" in name and "patch" not in name) or name == "query_tokens"
                weight.normal_(0.0, _FIRST_SPREAD if is_given else weight[0].numel() ** -0.5, generator=generator)
