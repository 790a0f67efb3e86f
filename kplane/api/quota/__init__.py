"""What objects cost, as ResourceQuotas count it: shared by the API server, which charges before it stores,
and the controller, which counts again. Pure.
"""

from kplane.api.quota.amounts import Amounts
from kplane.api.quota.evaluators import Evaluator, evaluator_for
from kplane.api.quota.scopes import quota_selectors

__all__ = ["Amounts", "Evaluator", "evaluator_for", "quota_selectors"]
