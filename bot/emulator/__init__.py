"""WeCom, a 公众号 and their phones on this machine; imports nothing of the service it plays against."""
