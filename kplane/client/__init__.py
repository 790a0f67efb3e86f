"""How a component talks to the API: REST client, watch, informer, work queue, leader election, events."""
