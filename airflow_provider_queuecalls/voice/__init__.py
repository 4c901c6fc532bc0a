"""What the service says in a call, without a script of one's own: the value of ``speak``, its URL, and its VoiceXML document."""
