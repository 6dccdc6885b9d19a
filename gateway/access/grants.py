"""What a caller may do: its key, with the limits of its tier and its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.access.demand import Assumptions, least_input_tokens
from gateway.access.key_store import KeyStore
from gateway.access.keys import Key
from gateway.access.tiers import DEFAULT_TIER, UNLIMITED, Limits, Tier
from gateway.call import Caller, Generate, Request
from gateway.errors import BadRequest, Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True)
class Grant:
    """What one caller may do now."""

    limits: Limits
    weight: float = 1.0
    key: Key | None = None

    def allows(self, model: str) -> bool:
        return self.key is None or self.key.allows_model(model)

    def check(self, request: Request) -> None:
        """Raises Forbidden if the key may not use the model that the request names, and BadRequest
        for a longer input or answer than the key allows."""
        if self.key is not None and request.model and not self.allows(request.model):
            raise Forbidden(
                f"the key may not use model '{request.model}'; it may use"
                f" {', '.join(self.key.models)}",
                field="model",
            )
        if isinstance(request, Generate):
            asked, most = request.sampling.max_tokens, self.limits.max_tokens
            if asked is not None and most is not None and asked > most:
                raise BadRequest.at("max_tokens", f"{asked} asked for; the key may have {most}")
            self.check_input(least_input_tokens(request))

    def check_input(self, tokens: int) -> None:
        """Raises BadRequest for a longer prompt than the key may send."""
        most = self.limits.max_input_tokens
        if most is not None and tokens > most:
            raise BadRequest(
                f"the prompt has {tokens} tokens or more; the key may send {most}", field="messages"
            )

    def bounded(self, request: Request, assumed: Assumptions) -> Request:
        """The request, with the key's `max_tokens` where the model's default could be longer."""
        most = self.limits.max_tokens
        if not isinstance(request, Generate) or request.sampling.max_tokens is not None:
            return request
        if most is None or most >= assumed.default_max_tokens:
            return request
        return replace(request, sampling=replace(request.sampling, max_tokens=most))


_NONE = Limits()


class Grants:
    """Grants of all callers."""

    def __init__(self, store: KeyStore | None, tiers: Mapping[str, Tier]) -> None:
        self._store = store
        self._tiers = {DEFAULT_TIER: UNLIMITED, **tiers}

    async def of(self, caller: Caller) -> Grant:
        """The caller's grant; raises Unauthenticated if its key was disabled or has expired since
        the request came in."""
        if self._store is None:
            tier = self._tiers[DEFAULT_TIER]
            return Grant(tier, tier.weight)
        key = await self._store.find(caller.key_id)
        if fault := key.fault() if key else "the key is unknown":
            raise Unauthenticated(fault)
        assert key is not None
        tier = self._tier(key)
        return Grant(tier.changed_by(key.limits) if key.limits != _NONE else tier, tier.weight, key)

    def _tier(self, key: Key) -> Tier:
        if key.tier not in self._tiers:
            raise Forbidden(
                f"the key has the tier '{key.tier}'; this gateway has {', '.join(self._tiers)}"
            )
        return self._tiers[key.tier]
