"""JSON Web Tokens of foreign issuers (OpenID Connect): who they are about, by the rules of the configuration.

    configuration.py   the file of `--authentication-config`, and what the flags `--oidc-…` say, as one form
    validation.py      is it sound? with expressions.py, which compiles its CEL
    provider.py        one issuer: its discovery document, and with keys.py its keys
    verifying.py       is this token the issuer's, for us, in its time?
    mapping.py         from a token's claims to a User
    issuers.py         all issuers that are in effect, and new ones when the file changes
    metrics.py         under upstream's names

Source: apiserver `plugin/pkg/authenticator/token/oidc`, `pkg/apis/apiserver/validation`, go-oidc 2.
Distributed claims (`_claim_names`) are not resolved: such a claim is taken as missing.
"""
