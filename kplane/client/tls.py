"""TLS settings of a client, from its credentials.

The context is built from bytes: keys pass through a file only for the moment in which OpenSSL reads them.
Apart from the transport, whose HTTP library takes longer to import than all of this package.
"""

from __future__ import annotations

import ssl
import tempfile

from kplane.client.kubeconfig import ConfigError, Credentials


def tls_context(credentials: Credentials) -> ssl.SSLContext:
    """TLS settings of a client. Raises ConfigError on certificates that OpenSSL refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if credentials.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif credentials.ca is not None:
            context.load_verify_locations(cadata=credentials.ca.decode())
        else:
            context.load_default_certs()
        if credentials.certificate is not None and credentials.key is not None:
            with tempfile.NamedTemporaryFile() as file:  # mode 0600
                file.write(credentials.certificate + b"\n" + credentials.key)
                file.flush()
                context.load_cert_chain(file.name)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"the certificates for {credentials.server} are not valid: {error}") from error
    return context
